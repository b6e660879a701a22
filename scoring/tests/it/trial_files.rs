//! Trial tables as files: both formats, both forms, and what broken files come to.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray,
};
use arrow::datatypes::Int8Type;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use rehearse_scoring::trial::{
    AggregateTable, Cell, FORMAT_KEY, Limits, Table, TableError, Trial, TrialTable, Verdict, read,
    read_csv, summarise, write,
};

fn some_table() -> TrialTable {
    let verdicts = [
        Verdict::Success,
        Verdict::Failure,
        Verdict::Partial(0.1 + 0.2),
        Verdict::Void,
        Verdict::Unsure,
    ];
    let mut trials = Vec::new();
    for (index, verdict) in verdicts.iter().cycle().take(1_000).enumerate() {
        let policy = ["naïve", "full, \"v2\""][index % 2];
        let task = ["open", "close", "push"][index % 3];
        let scenario = format!("s{}", index / 2);
        trials.push(Trial {
            length: (index % 7 != 0).then_some(index as u32),
            reason: (index % 11 == 0).then(|| "fell".into()),
            ..Trial::new(policy, task, *verdict).of_scenario(&scenario, Some(index as u32 % 2))
        });
    }
    TrialTable::new(trials, "made").unwrap()
}

fn write_columns(path: &Path, columns: Vec<(&str, ArrayRef)>, rows_per_group: usize) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(rows_per_group)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn both_formats_carry_both_forms_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let trials = some_table();
    let cells = vec![
        Cell { policy: "a".into(), task: "t".into(), rate: 1.0 / 3.0, trials: Some(30) },
        Cell { policy: "b".into(), task: "t".into(), rate: 0.25, trials: None },
    ];
    let tables = [
        Table::Trials(trials.clone()),
        Table::Aggregate(AggregateTable::new(cells, "made").unwrap()),
    ];
    for table in &tables {
        for name in ["table.csv", "table.parquet"] {
            let path = folder.path().join(name);
            write(table, &path).unwrap();
            let reading = read(&path, &Limits::default()).unwrap();
            assert_eq!(reading.table, *table, "{name}");
            assert!(reading.ignored_columns.is_empty());
            match table {
                Table::Trials(table) => {
                    assert_eq!(summarise(&path, &Limits::default()).unwrap(), table.summary());
                }
                Table::Aggregate(_) => assert!(matches!(
                    summarise(&path, &Limits::default()),
                    Err(TableError::NeedsTrials { .. })
                )),
            }
        }
    }
    assert!(matches!(
        write(&tables[0], &folder.path().join("table.xlsx")),
        Err(TableError::Extension { .. })
    ));
    // Nothing half-written stays behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn other_tools_types_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let policy: DictionaryArray<Int8Type> = ["a", "a", "b", "b"].into_iter().collect();
    write_columns(
        &path,
        vec![
            ("Policy", Arc::new(policy)),
            ("task", Arc::new(LargeStringArray::from(vec!["t"; 4]))),
            ("success", Arc::new(BooleanArray::from(vec![true, false, true, true]))),
            ("repeat", Arc::new(Float64Array::from(vec![Some(0.0), Some(1.0), None, Some(1.0)]))),
            ("scenario", Arc::new(Int64Array::from(vec![5, 5, 6, 6]))),
            ("video", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ],
        3,
    );
    let reading = read(&path, &Limits::default()).unwrap();
    assert_eq!(reading.ignored_columns, ["video"]);
    let Table::Trials(table) = reading.table else { panic!("wrong form") };
    assert_eq!(table.trials()[1].repeat, Some(1));
    assert_eq!(table.trials()[2].scenario.as_deref(), Some("6"));
    let summary = summarise(&path, &Limits::default()).unwrap();
    assert_eq!(summary, table.summary());
    assert_eq!(summary.by_policy()["b"].successes, 2);
}

#[test]
fn parquet_mistakes_are_named_with_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let names = || Arc::new(StringArray::from(vec!["a"; 4])) as ArrayRef;
    let message = |columns: Vec<(&str, ArrayRef)>| {
        write_columns(&path, columns, 2);
        let whole = read(&path, &Limits::default()).unwrap_err().to_string();
        let streamed = summarise(&path, &Limits::default()).unwrap_err().to_string();
        assert_eq!(whole, streamed);
        whole.replace(&path.display().to_string(), "FILE")
    };
    let scores = Arc::new(Float64Array::from(vec![1.0, 0.0, 1.0, 1.5]));
    assert_eq!(
        message(vec![("policy", names()), ("task", names()), ("success", scores)]),
        "\"1.5\" is not 0, 1 or a partial credit in [0, 1]: FILE, row 4, column `success`"
    );
    let words = Arc::new(StringArray::from(vec!["success", "void", "sucess", "void"]));
    assert_eq!(
        message(vec![("policy", names()), ("task", names()), ("outcome", words)]),
        "\"sucess\" is not `success`, `failure`, `void` or `unsure`: FILE, row 3, column `outcome`"
    );
    let blank = Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, Some("a")]));
    let fine = || Arc::new(Float64Array::from(vec![1.0; 4])) as ArrayRef;
    assert_eq!(
        message(vec![("policy", names()), ("task", blank), ("success", fine())]),
        "value is missing: FILE, row 3, column `task`"
    );
    let numbers = Arc::new(Int64Array::from(vec![1; 4]));
    assert_eq!(
        message(vec![("policy", numbers), ("task", names()), ("success", fine())]),
        "column has type Int64, expected text: FILE, column `policy`"
    );
}

#[test]
fn a_later_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let name = Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("policy", name.clone()),
        ("task", name),
        ("success", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef),
    ])
    .unwrap();
    let pair = KeyValue::new(FORMAT_KEY.to_owned(), "2".to_owned());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![pair])).build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(matches!(read(&path, &Limits::default()), Err(TableError::Format { .. })));
}

#[test]
fn summaries_are_the_same_at_any_number_of_threads_and_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    // Partial credits, whose sum depends on the order of adding; many small row groups.
    let n = 10_000;
    let policy: StringArray = (0..n).map(|i| Some(format!("p{}", i % 200))).collect();
    let task: StringArray = (0..n).map(|i| Some(format!("t{}", (i / 7) % 150))).collect();
    let success: Float64Array = (0..n).map(|i| Some(f64::from(i % 97) / 96.0)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("policy", Arc::new(policy)),
        ("task", Arc::new(task)),
        ("success", Arc::new(success)),
    ];
    write_columns(&path, columns, 100);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| summarise(&path, &Limits::default()).unwrap())
    };
    assert_eq!(on(1), on(5));
    assert_eq!(on(2).total().total(), 10_000);
    let few = Limits { cells: 100, ..Limits::default() };
    assert!(matches!(summarise(&path, &few), Err(TableError::TooLarge { .. })));
    let few = Limits { rows: 100, ..Limits::default() };
    assert!(matches!(read(&path, &few), Err(TableError::TooLarge { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(read_csv(&bytes[..], "noise", &Limits::default()));
        let mut dressed = b"policy,task,success\n".to_vec();
        dressed.extend_from_slice(&bytes);
        drop(read_csv(&dressed[..], "noise", &Limits::default()));
    }

    #[test]
    fn a_damaged_parquet_file_is_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write(&Table::Trials(some_table()), &path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, bytes).unwrap();
        // Damage may go unnoticed (in a name, say); it must not take the program down.
        drop(read(&path, &Limits::default()));
        drop(summarise(&path, &Limits::default()));
    }
}
