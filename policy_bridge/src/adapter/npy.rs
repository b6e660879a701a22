//! Arrays as the bytes of an `.npy` file, which GR00T sends inside its messages.
//!
//! Format 1.0 of `numpy/lib/format.py`; the header is a Python literal, of which exactly the form
//! that NumPy writes is read. Object arrays, which are pickles, are refused.

use std::borrow::Cow;

use crate::wire::{Array, DType};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Writes an array, byte for byte as `numpy.save` does.
pub(super) fn write(dtype: DType, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sides: String = match shape {
        [side] => format!("{side},"),
        sides => sides.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let descr = dtype.as_str();
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}), }}");
    // NumPy leaves room for the first side to grow to 21 digits, then pads to 64 bytes.
    let digits = shape.first().map_or(0, |side| side.to_string().len());
    if !shape.is_empty() {
        header.push_str(&" ".repeat(21usize.saturating_sub(digits)));
    }
    let before = MAGIC.len() + 4;
    let padding = (64 - (before + header.len() + 1) % 64) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut out = Vec::with_capacity(before + header.len() + data.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&(header.len() as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out
}

/// Reads an array.
///
/// # Errors
/// A sentence on what is not as NumPy writes it.
pub(super) fn read(bytes: &[u8]) -> Result<Array<'_>, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no .npy file")?;
    let (length, rest) = match rest {
        [1, 0, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, 0, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err("its version is none of 1.0, 2.0 and 3.0".to_owned()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or("its header is cut off")?;
    let header = std::str::from_utf8(header).map_err(|_utf8| "its header is not UTF-8")?;
    let entry =
        |key: &str| header.split_once(&format!("'{key}':")).map(|(_, value)| value.trim_start());
    let descr = entry("descr")
        .and_then(|value| value.strip_prefix('\''))
        .and_then(|value| value.split_once('\''))
        .map(|(descr, _)| descr)
        .ok_or("its header has no dtype")?;
    let dtype = DType::from_name(descr)
        .ok_or_else(|| format!("its dtype {descr:?} is not a plain little-endian one"))?;
    if !entry("fortran_order").is_some_and(|value| value.starts_with("False")) {
        return Err("it is not in C order".to_owned());
    }
    let sides = entry("shape")
        .and_then(|value| value.strip_prefix('('))
        .and_then(|value| value.split_once(')'))
        .map(|(sides, _)| sides)
        .ok_or("its header has no shape")?;
    let shape = sides
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse::<usize>().map_err(|_number| format!("its shape is ({sides})")))
        .collect::<Result<Vec<_>, _>>()?;
    let expected = shape.iter().try_fold(dtype.size(), |bytes, &side| bytes.checked_mul(side));
    if expected != Some(data.len()) {
        return Err(format!("it has {} bytes of data for the shape {shape:?}", data.len()));
    }
    Ok(Array { dtype, shape, data: Cow::Borrowed(data) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_written_as_numpy_writes_it_and_read_back() {
        let data: Vec<u8> = (0..12).collect();
        let file = write(DType::U8, &[1, 1, 2, 2, 3], &data);
        assert_eq!(file.len(), 128 + 12);
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 2, 2, 3), }";
        assert!(file[10..].starts_with(header.as_bytes()));
        let array = read(&file).unwrap();
        assert_eq!((array.dtype, array.shape.as_slice()), (DType::U8, &[1, 1, 2, 2, 3][..]));
        assert_eq!(*array.data, *data);
        assert_eq!(read(&write(DType::F32, &[], &[0; 4])).unwrap().shape, [0usize; 0]);
        assert_eq!(read(&write(DType::F32, &[3], &[0; 12])).unwrap().shape, [3]);
    }

    #[test]
    fn files_are_numpys_byte_for_byte() {
        let text = include_str!("../../tests/fixtures/adapter/parity.json");
        let cases: serde_json::Value = serde_json::from_str(text).unwrap();
        for (name, hex) in cases["npy"].as_object().unwrap() {
            let hex = hex.as_str().unwrap();
            let file: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let Array { dtype, shape, data } = read(&file).unwrap();
            assert_eq!(write(dtype, &shape, &data), file, "{name}");
        }
    }

    #[test]
    fn what_numpy_did_not_write_is_refused() {
        let good = write(DType::F32, &[2], &[0; 8]);
        for cut in [0, 5, 8, 12, 60, good.len() - 1] {
            assert!(read(&good[..cut]).is_err(), "cut at {cut}");
        }
        let replaced = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&good[10..128]).replace(from, to);
            [&good[..10], text.as_bytes(), &good[128..]].concat()
        };
        for (from, to) in [
            ("'<f4'", "'|O' "),
            ("'<f4'", "'>f4'"),
            ("False", "True "),
            ("(2,)", "(-2)"),
            ("(2,)", "(9,)"),
        ] {
            assert!(read(&replaced(from, to)).is_err(), "{to}");
        }
    }
}
