//! A server's latest answers, held for requests that are repeated because a connection went.

use std::collections::{BTreeMap, VecDeque};

use ::zenoh::Wait as _;
use ::zenoh::bytes::ZBytes;
use ::zenoh::query::Query;

use crate::wire::ErrorReply;

/// A client's request: the client's id and the request's number.
pub(super) type Origin = ([u8; 16], u64);

/// An answer as it is sent, as often as need be. Cloning shares the bytes.
#[derive(Clone)]
pub(super) enum Answer {
    Ok { payload: ZBytes, attachment: ZBytes },
    Refused { payload: ZBytes },
}

impl Answer {
    pub(super) fn refused(error: &ErrorReply) -> Self {
        Self::Refused { payload: error.encode().into() }
    }

    /// Sends the answer. A client that has gone meanwhile is no error.
    pub(super) fn send(self, query: &Query) {
        let sent = match self {
            Self::Ok { payload, attachment } => {
                query.reply(query.key_expr(), payload).attachment(attachment).wait()
            }
            Self::Refused { payload } => query.reply_err(payload).wait(),
        };
        if let Err(error) = sent {
            tracing::debug!("answering {}: {error}", query.key_expr());
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Ok { payload, attachment } => payload.len() + attachment.len(),
            Self::Refused { payload } => payload.len(),
        }
    }
}

/// The latest answers, up to a number of bytes.
pub(super) struct Answers {
    held: BTreeMap<Origin, Answer>,
    order: VecDeque<Origin>,
    bytes: usize,
    capacity: usize,
}

impl Answers {
    pub(super) fn new(capacity: usize) -> Self {
        Self { held: BTreeMap::new(), order: VecDeque::new(), bytes: 0, capacity }
    }

    pub(super) fn get(&self, origin: Origin) -> Option<Answer> {
        self.held.get(&origin).cloned()
    }

    /// Holds an answer, and lets the oldest ones go if there are too many.
    pub(super) fn hold(&mut self, origin: Origin, answer: Answer) {
        self.bytes += answer.bytes();
        if let Some(replaced) = self.held.insert(origin, answer) {
            self.bytes -= replaced.bytes();
        } else {
            self.order.push_back(origin);
        }
        // Each entry costs something beside its bytes, so their number is bounded too.
        while self.bytes > self.capacity || self.order.len() > MAX_HELD {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(dropped) = self.held.remove(&oldest) {
                self.bytes -= dropped.bytes();
            }
        }
    }

    /// Lets go of what was held for a client.
    pub(super) fn forget(&mut self, client: &[u8; 16]) {
        self.order.retain(|(other, _)| other != client);
        let Self { held, bytes, .. } = self;
        held.retain(|(other, _), answer| {
            let kept = other != client;
            if !kept {
                *bytes -= answer.bytes();
            }
            kept
        });
    }
}

const MAX_HELD: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Answer {
        Answer::Refused { payload: vec![0; bytes].into() }
    }

    #[test]
    fn the_oldest_answers_go_first_and_memory_stays_bounded() {
        let mut answers = Answers::new(100);
        for request in 0..10 {
            answers.hold(([1; 16], request), answer(30));
        }
        assert!(answers.get(([1; 16], 6)).is_none());
        assert!(answers.get(([1; 16], 7)).is_some());
        assert_eq!(answers.bytes, 90);
        answers.hold(([2; 16], 0), answer(101));
        assert_eq!((answers.bytes, answers.held.len()), (0, 0));
    }

    #[test]
    fn a_client_that_went_is_forgotten() {
        let mut answers = Answers::new(1_000);
        answers.hold(([1; 16], 0), answer(10));
        answers.hold(([2; 16], 0), answer(20));
        answers.forget(&[1; 16]);
        assert_eq!((answers.bytes, answers.order.len()), (20, 1));
        assert!(answers.get(([2; 16], 0)).is_some());
    }
}
