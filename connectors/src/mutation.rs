//! Messages with a few bytes changed: what a hostile venue or a broken line sends. Tests only.

use proptest::prelude::*;

/// A change of a message.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    /// Copies a part of the message to another place.
    Copy(usize, usize, usize),
    Cut(usize),
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => prop::sample::select(br#"{}[]",:\/ 0123456789-+.eEtrufalsn"#.to_vec()),
        1 => any::<u8>(),
    ]
}

/// Any change; bytes that mean something in JSON are preferred.
pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<usize>;
    prop_oneof![
        4 => (at(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        4 => (at(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        4 => at().prop_map(Mutation::Remove),
        4 => (at(), at(), 1usize..40).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
        1 => at().prop_map(Mutation::Cut),
    ]
}

/// Changes a message.
pub(crate) fn mutate(message: &mut Vec<u8>, mutation: &Mutation) {
    let len = message.len();
    if len == 0 {
        return;
    }
    match *mutation {
        Mutation::Replace(at, byte) => message[at % len] = byte,
        Mutation::Insert(at, byte) => message.insert(at % (len + 1), byte),
        Mutation::Remove(at) => {
            message.remove(at % len);
        }
        Mutation::Copy(from, to, count) => {
            let from = from % len;
            let part = message[from..(from + count).min(len)].to_vec();
            let to = to % (len + 1);
            message.splice(to..to, part);
        }
        Mutation::Cut(at) => message.truncate(at % len),
    }
}
