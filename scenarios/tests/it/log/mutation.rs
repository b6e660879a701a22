//! Random damage to metadata and tables: an error or a log, never a panic, never memory without
//! bounds.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rehearse_scenarios::log::RobotLog;

use super::{copy_of, fixture};

/// What happens to a file.
#[derive(Clone, Debug)]
enum Mutation {
    /// Bytes set, at positions given as a share of the file.
    Set(Vec<(f64, u8)>),
    /// Everything from a position on is lost.
    Cut(f64),
    /// A stretch is repeated.
    Repeat(f64, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => prop::collection::vec((0.0..1.0, any::<u8>()), 1..8).prop_map(Mutation::Set),
        1 => (0.0..1.0).prop_map(Mutation::Cut),
        1 => (0.0..1.0, 1_usize..64).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

fn apply(mutation: &Mutation, bytes: &[u8]) -> Vec<u8> {
    let position = |share: f64| (share * bytes.len() as f64) as usize;
    let mut bytes = bytes.to_vec();
    match mutation {
        Mutation::Set(changes) => {
            for &(share, byte) in changes {
                let at = position(share);
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
        }
        Mutation::Cut(share) => bytes.truncate(position(*share)),
        Mutation::Repeat(share, length) => {
            let at = position(*share);
            let stretch = bytes[at..bytes.len().min(at + length)].to_vec();
            bytes.splice(at..at, stretch);
        }
    }
    bytes
}

/// Opens the log and reads all its tables; errors are fine.
fn read_everything(folder: &Path) {
    if let Ok(log) = RobotLog::open(folder) {
        for episode in log.episodes() {
            drop(log.table(episode.index));
        }
    }
}

fn mutate(name: &str, file: &str, mutation: &Mutation) {
    let (_parent, folder) = copy_of(&fixture(name));
    let path = folder.join(file);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, apply(mutation, &bytes)).unwrap();
    read_everything(&folder);
}

/// One test per file that a reader parses.
macro_rules! survives {
    ($($test:ident: $name:literal, $file:literal;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(192))]
            $(
                #[test]
                fn $test(mutation in mutation()) {
                    mutate($name, $file, &mutation);
                }
            )*
        }
    };
}

survives! {
    info_of_any_bytes: "tiny_v30", "meta/info.json";
    tasks_of_any_bytes: "tiny_v30", "meta/tasks.parquet";
    episodes_of_any_bytes: "tiny_v30", "meta/episodes/chunk-000/file-000.parquet";
    tables_of_any_bytes: "tiny_v30", "data/chunk-000/file-000.parquet";
    old_info_of_any_bytes: "tiny_v21", "meta/info.json";
    old_tasks_of_any_bytes: "tiny_v21", "meta/tasks.jsonl";
    old_episodes_of_any_bytes: "tiny_v21", "meta/episodes.jsonl";
    old_tables_of_any_bytes: "tiny_v21", "data/chunk-000/episode_000001.parquet";
}

proptest! {
    #[test]
    fn results_of_any_text(text in "(episode_index,task,policy,success,length,split\n)?[0-9a-z,.\"\n-]{0,200}") {
        let (_parent, folder) = copy_of(&fixture("tiny_v30"));
        fs::write(folder.join("meta/trials.csv"), text).unwrap();
        read_everything(&folder);
    }
}

/// A footer may claim a list of two billion elements in eight bytes; the decoder would set aside
/// memory for all of them.
#[test]
fn a_list_of_two_billion_elements_is_refused_before_memory_is_set_aside() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    // Field 1 (version) is 1; field 2 (schema) is a list of 2^31 - 1 structs.
    let footer = [0x15, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    let mut bytes = b"PAR1".to_vec();
    bytes.extend_from_slice(&footer);
    bytes.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    bytes.extend_from_slice(b"PAR1");
    fs::write(folder.join("meta/tasks.parquet"), bytes).unwrap();
    let error = RobotLog::open(&folder).unwrap_err();
    assert!(error.to_string().contains("the footer is damaged"), "{error}");
}
