//! Writing MessagePack: every integer in its shortest form, maps in the order they are written.

use rmp::encode as rmp;

use super::value::Value;

/// A message being written.
///
/// ```
/// use rehearse_policy_bridge::wire::Encoder;
///
/// let mut out = Encoder::default();
/// out.map(1);
/// out.str("trials");
/// out.array(2);
/// out.uint(7);
/// out.uint(300);
/// assert_eq!(out.into_bytes(), b"\x81\xa6trials\x92\x07\xcd\x01\x2c");
/// ```
#[derive(Debug, Default)]
pub struct Encoder {
    out: ::rmp::encode::ByteBuf,
}

impl Encoder {
    /// A message that will take about `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: ::rmp::encode::ByteBuf::with_capacity(bytes) }
    }

    /// The bytes written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out.into_vec()
    }

    /// Begins a map of `entries` entries: twice as many values follow.
    pub fn map(&mut self, entries: usize) {
        infallible(rmp::write_map_len(&mut self.out, entries as u32));
    }

    /// Begins an array of `length` values.
    pub fn array(&mut self, length: usize) {
        infallible(rmp::write_array_len(&mut self.out, length as u32));
    }

    /// Writes a string.
    pub fn str(&mut self, text: &str) {
        infallible(rmp::write_str(&mut self.out, text));
    }

    /// Writes bytes.
    pub fn bin(&mut self, bytes: &[u8]) {
        infallible(rmp::write_bin(&mut self.out, bytes));
    }

    /// Begins `length` bytes, which follow through [`Encoder::raw`].
    pub fn bin_len(&mut self, length: usize) {
        infallible(rmp::write_bin_len(&mut self.out, length as u32));
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.as_mut_vec().extend_from_slice(bytes);
    }

    /// Writes an unsigned integer.
    pub fn uint(&mut self, value: u64) {
        infallible(rmp::write_uint(&mut self.out, value));
    }

    /// Writes a signed integer.
    pub fn int(&mut self, value: i64) {
        infallible(rmp::write_sint(&mut self.out, value));
    }

    /// Writes a float 64.
    pub fn f64(&mut self, value: f64) {
        infallible(rmp::write_f64(&mut self.out, value));
    }

    /// Writes a float 32.
    pub fn f32(&mut self, value: f32) {
        infallible(rmp::write_f32(&mut self.out, value));
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) {
        infallible(rmp::write_bool(&mut self.out, value));
    }

    /// Writes nil.
    pub fn nil(&mut self) {
        infallible(rmp::write_nil(&mut self.out));
    }

    /// Writes a whole value.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Nil => self.nil(),
            Value::Bool(value) => self.bool(*value),
            Value::Uint(value) => self.uint(*value),
            Value::Int(value) => self.int(*value),
            Value::F32(value) => self.f32(*value),
            Value::F64(value) => self.f64(*value),
            Value::Str(text) => self.str(text),
            Value::Bin(bytes) => self.bin(bytes),
            Value::Array(items) => {
                self.array(items.len());
                for item in items {
                    self.value(item);
                }
            }
            Value::Map(entries) => {
                self.map(entries.len());
                for (key, value) in entries {
                    self.value(key);
                    self.value(value);
                }
            }
        }
    }
}

/// Writing into memory does not fail: the error has no value, and the marker is of no interest.
fn infallible<T, E>(written: Result<T, E>) {
    drop(written);
}
