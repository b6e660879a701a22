//! Arrays as openpi's msgpack-numpy writes them: four entries with binary keys.

use std::borrow::Cow;

use super::encode::Encoder;
use super::error::WireError;
use super::value::Value;

/// Element type of an array; always little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// `|b1`
    Bool,
    /// `|i1`
    I8,
    /// `|u1`
    U8,
    /// `<i2`
    I16,
    /// `<u2`
    U16,
    /// `<i4`
    I32,
    /// `<u4`
    U32,
    /// `<i8`
    I64,
    /// `<u8`
    U64,
    /// `<f2`
    F16,
    /// `<f4`
    F32,
    /// `<f8`
    F64,
}

impl DType {
    const ALL: [Self; 12] = [
        Self::Bool,
        Self::I8,
        Self::U8,
        Self::I16,
        Self::U16,
        Self::I32,
        Self::U32,
        Self::I64,
        Self::U64,
        Self::F16,
        Self::F32,
        Self::F64,
    ];

    /// The type as NumPy's `dtype.str`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "|b1",
            Self::I8 => "|i1",
            Self::U8 => "|u1",
            Self::I16 => "<i2",
            Self::U16 => "<u2",
            Self::I32 => "<i4",
            Self::U32 => "<u4",
            Self::I64 => "<i8",
            Self::U64 => "<u8",
            Self::F16 => "<f2",
            Self::F32 => "<f4",
            Self::F64 => "<f8",
        }
    }

    /// The type called `name` by NumPy's `dtype.str` (`|` and `<` are the same for one byte).
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if let Some(one) = name.strip_prefix('<').filter(|rest| rest.ends_with('1')) {
            format!("|{one}")
        } else {
            name.to_owned()
        };
        Self::ALL.into_iter().find(|dtype| dtype.as_str() == name)
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// An array of a message: elements in row-major order, as they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// Element type.
    pub dtype: DType,
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// `dtype.size()` bytes for each element.
    pub data: Cow<'a, [u8]>,
}

impl<'a> Array<'a> {
    /// Whether `value` is a map that claims to be an array.
    pub fn is_array(value: &Value<'_>) -> bool {
        value.fields("").is_ok_and(|fields| fields.get_either("__ndarray__").is_some())
    }

    /// The array that `value` holds, or an error that calls it `what`. Binary and string keys are
    /// both taken.
    ///
    /// # Errors
    /// [`WireError`] if it is no array, its element type is not one of [`DType`], or its data are
    /// not exactly as long as its shape says.
    pub fn from_value<'v: 'a>(value: &'v Value<'_>, what: &str) -> Result<Self, WireError> {
        let wrong = |expected: &str, got: String| WireError::field(what, expected, got);
        let fields = value.fields(what)?;
        if !matches!(fields.get_either("__ndarray__"), Some(Value::Bool(true))) {
            return Err(wrong("an array (a map with __ndarray__: true)", "another map".to_owned()));
        }
        let part = |name: &str| {
            fields
                .get_either(name)
                .ok_or_else(|| WireError::Missing { field: format!("{what}.{name}") })
        };
        let name = part("dtype")?.text(what)?;
        let dtype = DType::from_name(name)
            .ok_or_else(|| wrong("an array of a plain little-endian dtype", format!("{name:?}")))?;
        let shape = part("shape")?
            .items(what)?
            .iter()
            .map(|side| side.uint(what).map(|side| side as usize))
            .collect::<Result<Vec<_>, _>>()?;
        let data = part("data")?.bytes(what)?;
        let expected = shape
            .iter()
            .try_fold(dtype.size(), |bytes, &side| bytes.checked_mul(side))
            .filter(|&bytes| bytes == data.len());
        if expected.is_none() {
            return Err(wrong(
                &format!("an array of shape {shape:?} and dtype {name}"),
                format!("{} bytes of data", data.len()),
            ));
        }
        Ok(Self { dtype, shape, data: Cow::Borrowed(data) })
    }

    /// The elements as f32: `<f4` as they are, `<f8` rounded.
    ///
    /// # Errors
    /// [`WireError::Field`] for any other element type.
    pub fn to_f32(&self, what: &str) -> Result<Vec<f32>, WireError> {
        match self.dtype {
            DType::F32 => {
                Ok(self.data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
            }
            DType::F64 => Ok(self
                .data
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| f64::from_le_bytes(bytes) as f32)
                .collect()),
            other => Err(WireError::field(what, "an array of <f4 or <f8", other.as_str())),
        }
    }

    /// The array as a value with binary keys.
    pub fn into_value(self) -> Value<'a> {
        let key = |name: &'static str| Value::Bin(Cow::Borrowed(name.as_bytes()));
        let shape = self.shape.iter().map(|&side| Value::Uint(side as u64)).collect();
        Value::Map(vec![
            (key("__ndarray__"), Value::Bool(true)),
            (key("data"), Value::Bin(self.data)),
            (key("dtype"), Value::Str(Cow::Borrowed(self.dtype.as_str()))),
            (key("shape"), Value::Array(shape)),
        ])
    }
}

impl Encoder {
    /// Writes an array of bytes, `|u1`.
    pub fn array_u8(&mut self, shape: &[usize], data: &[u8]) {
        self.array_head(data.len());
        self.raw(data);
        self.array_tail(DType::U8, shape);
    }

    /// Writes an array of `<f4`, element by element in row-major order.
    pub fn array_f32(&mut self, shape: &[usize], data: impl ExactSizeIterator<Item = f32>) {
        self.array_head(data.len() * 4);
        for value in data {
            self.raw(&value.to_le_bytes());
        }
        self.array_tail(DType::F32, shape);
    }

    fn array_head(&mut self, bytes: usize) {
        self.map(4);
        self.bin(b"__ndarray__");
        self.bool(true);
        self.bin(b"data");
        self.bin_len(bytes);
    }

    fn array_tail(&mut self, dtype: DType, shape: &[usize]) {
        self.bin(b"dtype");
        self.str(dtype.as_str());
        self.bin(b"shape");
        self.array(shape.len());
        for &side in shape {
            self.uint(side as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    #[test]
    fn arrays_come_back_with_either_kind_of_keys() {
        let mut out = Encoder::default();
        out.array_f32(&[1, 2], [0.5, -1.0].into_iter());
        let bytes = out.into_bytes();
        let value = Value::decode(&bytes, &Limits::default()).unwrap();
        let array = Array::from_value(&value, "actions").unwrap();
        assert_eq!((array.shape.as_slice(), array.dtype), (&[1, 2][..], DType::F32));
        assert_eq!(array.to_f32("actions").unwrap(), [0.5, -1.0]);
        let mut again = Encoder::default();
        again.value(&array.clone().into_value());
        assert_eq!(again.into_bytes(), bytes);

        let Value::Map(entries) = array.into_value() else { panic!("an array is a map") };
        let with_strings = entries
            .into_iter()
            .map(|(key, value)| match key {
                Value::Bin(name) => (Value::string(String::from_utf8(name.into()).unwrap()), value),
                other => (other, value),
            })
            .collect();
        let value = Value::Map(with_strings);
        assert_eq!(Array::from_value(&value, "actions").unwrap().shape, [1, 2]);
    }

    fn array(dtype: &str, shape: Vec<u64>, data: usize) -> Value<'static> {
        Value::Map(vec![
            (Value::string("__ndarray__"), Value::Bool(true)),
            (Value::string("data"), Value::Bin(vec![0; data].into())),
            (Value::string("dtype"), Value::string(dtype)),
            (Value::string("shape"), Value::Array(shape.into_iter().map(Value::Uint).collect())),
        ])
    }

    #[test]
    fn shapes_that_do_not_fit_their_data_are_refused() {
        assert!(Array::from_value(&array("<f4", vec![2, 3], 24), "a").is_ok());
        assert!(Array::from_value(&array("<u1", vec![2], 2), "a").is_ok());
        for (dtype, shape, data) in [
            ("<f4", vec![2, 3], 23),
            ("<f4", vec![u64::MAX, 4], 16),
            (">f4", vec![1], 4),
            ("|O", vec![1], 8),
            ("<c8", vec![1], 8),
            ("|V4", vec![1], 4),
        ] {
            assert!(Array::from_value(&array(dtype, shape, data), "a").is_err(), "{dtype}");
        }
    }
}
