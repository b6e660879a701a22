//! A decoded message: a tree that borrows its strings and bytes from the message.

use std::borrow::Cow;
use std::collections::HashSet;

use rmp::Marker;

use super::error::WireError;
use super::limits::Limits;

/// One MessagePack value. Extension types and timestamps are not used by the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nil.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer of at least zero.
    Uint(u64),
    /// An integer below zero.
    Int(i64),
    /// A float 32.
    F32(f32),
    /// A float 64.
    F64(f64),
    /// A string.
    Str(Cow<'a, str>),
    /// Bytes.
    Bin(Cow<'a, [u8]>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map, in the order of the message. Keys are strings or bytes, none twice.
    Map(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Reads a message, whole.
    ///
    /// What is allocated is bounded by `limits.values`, whatever the message claims: a claimed
    /// length is checked against the bytes that are left before anything is reserved for it.
    ///
    /// # Errors
    /// The first thing wrong, as a [`WireError`].
    ///
    /// ```
    /// use rehearse_policy_bridge::wire::{Limits, Value, WireError};
    ///
    /// // An array that claims four billion items in a message of five bytes.
    /// let error = Value::decode(b"\xdd\xff\xff\xff\xff", &Limits::default()).unwrap_err();
    /// assert!(matches!(error, WireError::Truncated { claimed: 4_294_967_295, left: 0, .. }));
    /// ```
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Self, WireError> {
        if bytes.len() > limits.bytes {
            let got = bytes.len() as u64;
            return Err(WireError::TooLarge { what: "message size", limit: limits.bytes, got });
        }
        let mut reader = Reader { bytes, at: 0, values: limits.values.saturating_sub(1), limits };
        let value = reader.value(0)?;
        match bytes.len() - reader.at {
            0 => Ok(value),
            count => Err(WireError::TrailingBytes { count }),
        }
    }

    /// A string that is owned.
    pub fn string(text: impl Into<String>) -> Self {
        Self::Str(Cow::Owned(text.into()))
    }

    /// The fields of a map, or an error that calls it `what`.
    ///
    /// # Errors
    /// [`WireError::Field`] if the value is no map.
    pub fn fields<'v>(&'v self, what: &str) -> Result<Fields<'v, 'a>, WireError> {
        match self {
            Self::Map(entries) => Ok(Fields { entries }),
            other => Err(WireError::field(what, "a map", other.type_name())),
        }
    }

    /// The items of an array, or an error that calls it `what`.
    ///
    /// # Errors
    /// [`WireError::Field`] if the value is no array.
    pub fn items(&self, what: &str) -> Result<&[Value<'a>], WireError> {
        match self {
            Self::Array(items) => Ok(items),
            other => Err(WireError::field(what, "an array", other.type_name())),
        }
    }

    /// The text of a string, or an error that calls it `what`.
    ///
    /// # Errors
    /// [`WireError::Field`] if the value is no string.
    pub fn text(&self, what: &str) -> Result<&str, WireError> {
        match self {
            Self::Str(text) => Ok(text),
            other => Err(WireError::field(what, "a string", other.type_name())),
        }
    }

    /// The bytes of a binary value, or an error that calls it `what`.
    ///
    /// # Errors
    /// [`WireError::Field`] if the value is not binary.
    pub fn bytes(&self, what: &str) -> Result<&[u8], WireError> {
        match self {
            Self::Bin(bytes) => Ok(bytes),
            other => Err(WireError::field(what, "binary", other.type_name())),
        }
    }

    /// An integer of at least zero, or an error that calls it `what`.
    ///
    /// # Errors
    /// [`WireError::Field`] if the value is no such integer.
    pub fn uint(&self, what: &str) -> Result<u64, WireError> {
        match self {
            Self::Uint(value) => Ok(*value),
            other => Err(WireError::field(what, "an integer of at least 0", other.type_name())),
        }
    }

    /// A number as float 64, or an error that calls it `what`.
    ///
    /// # Errors
    /// [`WireError::Field`] if the value is no number.
    pub fn number(&self, what: &str) -> Result<f64, WireError> {
        match self {
            Self::F64(value) => Ok(*value),
            Self::F32(value) => Ok(f64::from(*value)),
            Self::Uint(value) => Ok(*value as f64),
            Self::Int(value) => Ok(*value as f64),
            other => Err(WireError::field(what, "a number", other.type_name())),
        }
    }

    /// What the value is, for messages.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a truth value",
            Self::Uint(_) => "an integer",
            Self::Int(_) => "a negative integer",
            Self::F32(_) | Self::F64(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bin(_) => "binary",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
        }
    }
}

/// The entries of a map, found by name.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'v, 'a> {
    entries: &'v [(Value<'a>, Value<'a>)],
}

impl<'v, 'a> Fields<'v, 'a> {
    /// The value under a string key; nil counts as absent.
    pub fn get(&self, name: &str) -> Option<&'v Value<'a>> {
        self.entries
            .iter()
            .find(|(key, _)| matches!(key, Value::Str(text) if text == name))
            .map(|(_, value)| value)
            .filter(|value| !matches!(value, Value::Nil))
    }

    /// The value under a binary key or, failing that, a string key: msgpack-numpy's maps are
    /// written with either.
    pub fn get_either(&self, name: &str) -> Option<&'v Value<'a>> {
        self.entries
            .iter()
            .find(|(key, _)| matches!(key, Value::Bin(bytes) if **bytes == *name.as_bytes()))
            .map(|(_, value)| value)
            .or_else(|| self.get(name))
    }

    /// The value under a string key.
    ///
    /// # Errors
    /// [`WireError::Missing`].
    pub fn required(&self, name: &str) -> Result<&'v Value<'a>, WireError> {
        self.get(name).ok_or_else(|| WireError::Missing { field: name.to_owned() })
    }

    /// All entries, in the order of the message.
    pub fn entries(&self) -> &'v [(Value<'a>, Value<'a>)] {
        self.entries
    }
}

struct Reader<'a, 'l> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
    limits: &'l Limits,
}

impl<'a> Reader<'a, '_> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            let (claimed, at) = (count as u64, self.at);
            return Err(WireError::Truncated { claimed, left: rest.len(), at });
        };
        self.at += count;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(self.take(N)?);
        Ok(fixed)
    }

    fn len8(&mut self) -> Result<usize, WireError> {
        Ok(usize::from(u8::from_be_bytes(self.fixed()?)))
    }

    fn len16(&mut self) -> Result<usize, WireError> {
        Ok(usize::from(u16::from_be_bytes(self.fixed()?)))
    }

    fn len32(&mut self) -> Result<usize, WireError> {
        Ok(u32::from_be_bytes(self.fixed()?) as usize)
    }

    /// Takes `count` values out of those that the message may still hold, so that nested claims
    /// cannot add up; each is a byte at least.
    fn claim(&mut self, count: usize) -> Result<(), WireError> {
        let left = self.bytes.len() - self.at;
        if count > left {
            return Err(WireError::Truncated { claimed: count as u64, left, at: self.at });
        }
        let limit = self.limits.values;
        self.values = self.values.checked_sub(count).ok_or(WireError::TooLarge {
            what: "number of values",
            limit,
            got: (limit - self.values) as u64 + count as u64,
        })?;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, WireError> {
        if depth > self.limits.depth {
            let limit = self.limits.depth;
            return Err(WireError::TooLarge { what: "nesting depth", limit, got: depth as u64 });
        }
        let at = self.at;
        let [first] = self.fixed()?;
        Ok(match Marker::from_u8(first) {
            Marker::Null => Value::Nil,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(value) => Value::Uint(u64::from(value)),
            Marker::FixNeg(value) => integer(i64::from(value)),
            Marker::U8 => Value::Uint(u64::from(u8::from_be_bytes(self.fixed()?))),
            Marker::U16 => Value::Uint(u64::from(u16::from_be_bytes(self.fixed()?))),
            Marker::U32 => Value::Uint(u64::from(u32::from_be_bytes(self.fixed()?))),
            Marker::U64 => Value::Uint(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => integer(i64::from(i8::from_be_bytes(self.fixed()?))),
            Marker::I16 => integer(i64::from(i16::from_be_bytes(self.fixed()?))),
            Marker::I32 => integer(i64::from(i32::from_be_bytes(self.fixed()?))),
            Marker::I64 => integer(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Value::F32(f32::from_be_bytes(self.fixed()?)),
            Marker::F64 => Value::F64(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(length) => self.text(usize::from(length), at)?,
            Marker::Str8 => self.len8().and_then(|length| self.text(length, at))?,
            Marker::Str16 => self.len16().and_then(|length| self.text(length, at))?,
            Marker::Str32 => self.len32().and_then(|length| self.text(length, at))?,
            Marker::Bin8 => self.len8().and_then(|length| self.binary(length))?,
            Marker::Bin16 => self.len16().and_then(|length| self.binary(length))?,
            Marker::Bin32 => self.len32().and_then(|length| self.binary(length))?,
            Marker::FixArray(length) => self.array(usize::from(length), depth)?,
            Marker::Array16 => self.len16().and_then(|length| self.array(length, depth))?,
            Marker::Array32 => self.len32().and_then(|length| self.array(length, depth))?,
            Marker::FixMap(length) => self.map(usize::from(length), depth)?,
            Marker::Map16 => self.len16().and_then(|length| self.map(length, depth))?,
            Marker::Map32 => self.len32().and_then(|length| self.map(length, depth))?,
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
            | Marker::Reserved => return Err(WireError::Unsupported { marker: first, at }),
        })
    }

    fn text(&mut self, length: usize, at: usize) -> Result<Value<'a>, WireError> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_utf8| WireError::NotUtf8 { at })?;
        Ok(Value::Str(Cow::Borrowed(text)))
    }

    fn binary(&mut self, length: usize) -> Result<Value<'a>, WireError> {
        Ok(Value::Bin(Cow::Borrowed(self.take(length)?)))
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Value<'a>, WireError> {
        self.claim(length)?;
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value<'a>, WireError> {
        self.claim(length.saturating_mul(2))?;
        let mut entries = Vec::with_capacity(length);
        for _ in 0..length {
            let at = self.at;
            let key = self.value(depth + 1)?;
            if !matches!(key, Value::Str(_) | Value::Bin(_)) {
                return Err(WireError::Key { at });
            }
            entries.push((key, self.value(depth + 1)?));
        }
        refuse_duplicates(&entries)?;
        Ok(Value::Map(entries))
    }
}

fn integer(value: i64) -> Value<'static> {
    u64::try_from(value).map_or(Value::Int(value), Value::Uint)
}

fn refuse_duplicates(entries: &[(Value<'_>, Value<'_>)]) -> Result<(), WireError> {
    let key = |(key, _): &'_ (Value<'_>, Value<'_>)| match key {
        Value::Str(text) => (false, text.as_bytes().to_vec()),
        Value::Bin(bytes) => (true, bytes.to_vec()),
        _ => (true, vec![]),
    };
    let error =
        |bytes: &[u8]| WireError::DuplicateKey { key: String::from_utf8_lossy(bytes).into_owned() };
    // Small maps, which is all that honest messages hold, are compared without hashing.
    if entries.len() <= 16 {
        for (index, (a, _)) in entries.iter().enumerate() {
            if entries.iter().take(index).any(|(b, _)| a == b) {
                return Err(error(&key(&entries[index]).1));
            }
        }
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(entries.len());
    for entry in entries {
        let key = key(entry);
        if seen.contains(&key) {
            return Err(error(&key.1));
        }
        seen.insert(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Encoder;

    fn decode(bytes: &[u8]) -> Result<Value<'_>, WireError> {
        Value::decode(bytes, &Limits::default())
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        let map = Value::Map(vec![
            (Value::string("nil"), Value::Nil),
            (Value::Bin(Cow::Borrowed(b"nil")), Value::Bool(true)),
            (
                Value::string("numbers"),
                Value::Array(vec![
                    Value::Uint(u64::MAX),
                    Value::Int(-1),
                    Value::Int(i64::MIN),
                    Value::F32(0.5),
                    Value::F64(-0.25),
                ]),
            ),
        ]);
        let mut out = Encoder::default();
        out.value(&map);
        let bytes = out.into_bytes();
        assert_eq!(decode(&bytes).unwrap(), map);
    }

    #[test]
    fn claims_beyond_the_message_are_refused() {
        for claim in
            [&b"\xc6\xff\xff\xff\xff"[..], b"\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
        {
            assert!(matches!(decode(claim), Err(WireError::Truncated { .. })), "{claim:x?}");
        }
    }

    #[test]
    fn bombs_of_many_small_values_are_refused() {
        let mut bomb = vec![0xdd, 0, 4, 0, 1];
        bomb.resize(300_000, 0xc0);
        assert!(matches!(decode(&bomb), Err(WireError::TooLarge { what: "number of values", .. })));
        // Nested arrays that each claim all that the message holds.
        let mut nested = [0xdd, 0, 1, 0, 0].repeat(20);
        nested.resize(70_000 + 100, 0xc0);
        assert!(matches!(
            decode(&nested),
            Err(WireError::TooLarge { what: "number of values", .. })
        ));
        let deep = vec![0x91; 100];
        assert!(matches!(decode(&deep), Err(WireError::TooLarge { what: "nesting depth", .. })));
    }

    #[test]
    fn ambiguous_messages_are_refused() {
        assert!(matches!(decode(b"\x82\xa1a\x01\xa1a\x02"), Err(WireError::DuplicateKey { .. })));
        assert_eq!(decode(b"\x81\x01\x01"), Err(WireError::Key { at: 1 }));
        assert_eq!(decode(b"\xc0\xc0"), Err(WireError::TrailingBytes { count: 1 }));
        assert_eq!(decode(b"\xa1\xff"), Err(WireError::NotUtf8 { at: 0 }));
        assert!(matches!(
            decode(b"\xd4\x00\x00"),
            Err(WireError::Unsupported { marker: 0xd4, .. })
        ));
        assert!(matches!(decode(b""), Err(WireError::Truncated { claimed: 1, left: 0, at: 0 })));
    }

    #[test]
    fn a_large_map_with_one_key_twice_is_refused() {
        let mut out = Encoder::default();
        out.map(40);
        for index in 0..40 {
            out.uint_key(index.min(38));
        }
        assert!(matches!(decode(&out.into_bytes()), Err(WireError::DuplicateKey { .. })));
    }

    impl Encoder {
        fn uint_key(&mut self, index: u64) {
            self.str(&format!("key {index}"));
            self.uint(index);
        }
    }
}
