//! Bytes that nobody honest sends: no reader panics, hangs, or allocates what is only claimed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rehearse_policy_bridge::wire::{
    Encoder, ErrorReply, Limits, ReplyAttachment, RequestAttachment, Value, json_from_value, judge,
    policy, world,
};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::testing::sample_rig;

const CORPUS: &str = include_str!("../fixtures/protocol_v1.json");

fn corpus() -> Vec<Vec<u8>> {
    let corpus: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(CORPUS).unwrap();
    corpus["messages"]
        .values()
        .map(|hex| {
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect()
        })
        .collect()
}

/// Lets every reader of the crate have a go. What a reader takes, a writer can write again.
fn read_all(bytes: &[u8], rig: &Embodiment) {
    let limits = Limits { bytes: 1 << 20, values: 10_000, depth: 16 };
    if let Ok(value) = Value::decode(bytes, &limits) {
        let mut out = Encoder::default();
        out.value(&value);
        let again = out.into_bytes();
        // Compared as bytes, for NaN is not equal to itself.
        let mut once_more = Encoder::default();
        once_more.value(&Value::decode(&again, &limits).expect("what was written can be read"));
        assert_eq!(once_more.into_bytes(), again);
        drop(json_from_value(&value));
    }
    drop(RequestAttachment::decode(bytes));
    drop(ReplyAttachment::decode(bytes));
    drop(ErrorReply::decode(bytes));
    drop(policy::decode_info(bytes, &limits));
    drop(policy::decode_begin(bytes, &limits));
    drop(policy::decode_begin_reply(bytes, &limits));
    drop(policy::decode_act(bytes, rig, &limits));
    drop(policy::decode_act_reply(bytes, &rig.actions, &limits));
    drop(policy::decode_end(bytes, &limits));
    drop(judge::decode_info(bytes, &limits));
    drop(judge::decode_judge_reply(bytes, 3, &limits));
    drop(world::decode_info(bytes, &limits));
    drop(world::decode_reset(bytes, rig, &limits));
    drop(world::decode_reset_reply(bytes, rig, &limits));
    drop(world::decode_step(bytes, &rig.actions, &limits));
    drop(world::decode_step_reply(bytes, rig, &limits));
}

#[test]
fn every_truncation_of_every_message_is_refused() {
    let limits = Limits::default();
    for message in corpus() {
        for length in 0..message.len() {
            assert!(Value::decode(&message[..length], &limits).is_err());
        }
        assert!(Value::decode(&message, &limits).is_ok());
    }
}

#[test]
fn ten_gigabytes_that_are_only_claimed_cost_nothing() {
    let limits = Limits::default();
    // Nested claims of four billion entries each, and binaries of four gigabytes.
    for marker in [0xdd_u8, 0xdf, 0xc6, 0xdb] {
        let mut bomb = vec![];
        for _ in 0..30 {
            bomb.extend([marker, 0xff, 0xff, 0xff, 0xff]);
        }
        assert!(Value::decode(&bomb, &limits).is_err());
    }
    let large = vec![0xc0; limits.bytes + 1];
    assert!(Value::decode(&large, &limits).unwrap_err().to_string().contains("above the limit"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_messages_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..12),
    ) {
        let rig = sample_rig();
        let corpus = corpus();
        let mut bytes = which.get(&corpus).clone();
        for (at, byte, edit) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        read_all(&bytes, &rig);
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes, &sample_rig());
    }
}
