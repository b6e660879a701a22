//! Sizes that a Parquet file claims, checked before any memory is set aside for them.
//!
//! Footer and page headers are in Thrift's compact protocol. The decoder reserves what a list's
//! or a page's header claims, so a damaged or hostile file could ask for all memory there is. Here
//! the structure alone is walked: every list must have its elements, every page must be of a sane
//! size.
//!
//! Source: `parquet.thrift` of apache/parquet-format; "Thrift Compact protocol encoding".

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use parquet::file::metadata::ParquetMetaData;

use super::error::{LogError, Place};

/// Largest footer that is read, in bytes.
const MAX_FOOTER_BYTES: u64 = 256 << 20;
/// Largest page that is decompressed, in bytes.
const MAX_PAGE_BYTES: u64 = 256 << 20;
/// Most values in a page: a few bytes may stand for any number of equal ones.
const MAX_PAGE_VALUES: i64 = 1 << 26;
/// Most elements in one list of a footer.
const MAX_LIST: u64 = 1 << 22;
/// Deepest nesting in a footer or page header; the format needs 8.
const MAX_DEPTH: usize = 32;
/// Bytes of a page that are read to find its header, at first and at most.
const HEADER_BYTES: [u64; 2] = [256, 1 << 20];

const TRAILER_BYTES: u64 = 8;
const MAGIC: &[u8] = b"PAR1";

/// Checks that a file has a Parquet footer whose lists are as long as they claim.
pub(super) fn check_footer(file: &mut File, path: &Path) -> Result<(), LogError> {
    let place = || Place::file(path);
    let bytes = file.metadata().map_err(place().io("read"))?.len();
    let no_footer = || place().field("footer").missing();
    if bytes < TRAILER_BYTES + MAGIC.len() as u64 {
        return Err(no_footer());
    }
    let trailer = read_at(file, bytes - TRAILER_BYTES, TRAILER_BYTES, path)?;
    let (length, magic) = trailer.split_at(4);
    if magic != MAGIC {
        return Err(no_footer());
    }
    let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
    if length > MAX_FOOTER_BYTES {
        return Err(place().too_large("a footer", MAX_FOOTER_BYTES, length));
    }
    let Some(start) = (bytes - TRAILER_BYTES).checked_sub(length) else {
        return Err(place().mismatch("bytes in the file", format!("at least {length}"), bytes));
    };
    let footer = read_at(file, start, length, path)?;
    let mut walker = Walker::new(&footer);
    walker
        .structure(0)
        .map_err(|Damaged| place().field("footer").invalid("the footer is damaged"))?;
    Ok(())
}

/// Checks the page headers of some columns of some row groups.
///
/// `roots` are indices of top-level columns.
pub(super) fn check_pages(
    file: &mut File,
    path: &Path,
    metadata: &ParquetMetaData,
    groups: &[usize],
    roots: &[usize],
) -> Result<(), LogError> {
    let bytes = file.metadata().map_err(Place::file(path).io("read"))?.len();
    let schema = metadata.file_metadata().schema_descr();
    for &group in groups {
        let Some(group) = metadata.row_groups().get(group) else { continue };
        for (leaf, column) in group.columns().iter().enumerate() {
            if leaf >= schema.num_columns() || !roots.contains(&schema.get_column_root_idx(leaf)) {
                continue;
            }
            let place = || Place::file(path).field(column.column_path().string());
            let first = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let first = first.min(column.data_page_offset());
            let (Ok(first), Ok(length)) =
                (u64::try_from(first), u64::try_from(column.compressed_size()))
            else {
                return Err(place().invalid("the column has a negative offset or size"));
            };
            let end = first.saturating_add(length);
            if end > bytes {
                return Err(place().mismatch(
                    "bytes in the file",
                    format!("at least {end}"),
                    bytes,
                ));
            }
            check_column_pages(file, path, first..end, place)?;
        }
    }
    Ok(())
}

fn check_column_pages(
    file: &mut File,
    path: &Path,
    pages: std::ops::Range<u64>,
    place: impl Fn() -> Place,
) -> Result<(), LogError> {
    let mut at = pages.start;
    while at < pages.end {
        let mut header: Option<(u64, Integers, i64)> = None;
        for window in HEADER_BYTES {
            let window = window.min(pages.end - at);
            let start = read_at(file, at, window, path)?;
            let mut walker = Walker::new(&start);
            if let Ok(fields) = walker.structure(0) {
                header = Some((window - walker.rest.len() as u64, fields, walker.count));
                break;
            }
        }
        let Some((length, fields, values)) = header else {
            return Err(place().invalid(format!("the page header at byte {at} is damaged")));
        };
        // Fields 2 and 3 of PageHeader: uncompressed_page_size, compressed_page_size.
        let (Ok(unpacked), Ok(packed)) = (u64::try_from(fields[2]), u64::try_from(fields[3]))
        else {
            return Err(place().invalid(format!("the page at byte {at} has a negative size")));
        };
        if unpacked > MAX_PAGE_BYTES {
            return Err(place().too_large("a page", MAX_PAGE_BYTES, unpacked));
        }
        if !(0..=MAX_PAGE_VALUES).contains(&values) {
            let (limit, got) = (MAX_PAGE_VALUES.unsigned_abs(), values.unsigned_abs());
            return Err(place().too_large("a page's number of values", limit, got));
        }
        at = at.saturating_add(length).saturating_add(packed);
        if at > pages.end {
            return Err(place().invalid("a page is larger than its column".to_owned()));
        }
    }
    Ok(())
}

fn read_at(file: &mut File, offset: u64, length: u64, path: &Path) -> Result<Vec<u8>, LogError> {
    let place = || Place::file(path);
    file.seek(SeekFrom::Start(offset)).map_err(place().io("read"))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(place().io("read"))?;
    Ok(bytes)
}

/// The structure is not what it claims.
struct Damaged;

/// The integer fields of a struct, by field id up to 7; 0 where absent.
type Integers = [i64; 8];

/// Walks Thrift's compact protocol without keeping anything but a few integers.
struct Walker<'a> {
    rest: &'a [u8],
    /// Field 1 of the last struct within the outermost: `num_values` of a page's own header.
    count: i64,
}

impl<'a> Walker<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, count: 0 }
    }

    fn structure(&mut self, depth: usize) -> Result<Integers, Damaged> {
        if depth > MAX_DEPTH {
            return Err(Damaged);
        }
        let mut integers = [0; 8];
        let mut id = 0_i64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(integers);
            }
            id = match header >> 4 {
                0 => zigzag(self.varint()?),
                delta => id + i64::from(delta),
            };
            let kind = header & 0x0f;
            if let Some(integer) = self.value(kind, depth, false)?
                && let Some(slot) = usize::try_from(id).ok().and_then(|id| integers.get_mut(id))
            {
                *slot = integer;
            }
        }
    }

    /// Passes over a value; returns it if it is an integer.
    fn value(&mut self, kind: u8, depth: usize, in_list: bool) -> Result<Option<i64>, Damaged> {
        match kind {
            // A bool is in its field's header, but takes a byte within a list.
            1 | 2 if !in_list => {}
            1..=3 => {
                self.byte()?;
            }
            4..=6 => return Ok(Some(zigzag(self.varint()?))),
            7 => self.skip(8)?,
            8 => {
                let length = self.varint()?;
                self.skip(length)?;
            }
            9 | 10 => self.list(depth)?,
            12 => {
                let integers = self.structure(depth + 1)?;
                if depth == 0 {
                    self.count = integers[1];
                }
            }
            // Maps (11) do not occur in Parquet.
            _ => return Err(Damaged),
        }
        Ok(None)
    }

    fn list(&mut self, depth: usize) -> Result<(), Damaged> {
        if depth > MAX_DEPTH {
            return Err(Damaged);
        }
        let header = self.byte()?;
        let length = match header >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        // Every element takes a byte at least.
        if length > MAX_LIST || length > self.rest.len() as u64 {
            return Err(Damaged);
        }
        for _ in 0..length {
            self.value(header & 0x0f, depth + 1, true)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        let (&first, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(first)
    }

    fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Damaged> {
        let bytes = usize::try_from(bytes).map_err(|_too_long| Damaged)?;
        self.rest = self.rest.get(bytes..).ok_or(Damaged)?;
        Ok(())
    }
}

const fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<Integers, Damaged> {
        Walker::new(bytes).structure(0)
    }

    #[test]
    fn integers_of_a_struct_are_found_by_their_id() {
        // Field 2, i32, 300 (zigzag 600 = 0xd8 0x04); field 3, i32, -1 (zigzag 1); stop.
        let integers = walk(&[0x25, 0xd8, 0x04, 0x15, 0x01, 0x00]).ok().unwrap();
        assert_eq!((integers[2], integers[3]), (300, -1));
    }

    #[test]
    fn the_number_of_values_of_a_page_is_found() {
        // Field 5, a struct whose field 1 is 27; stop, stop.
        let mut walker = Walker::new(&[0x5c, 0x15, 0x36, 0x00, 0x00]);
        assert!(walker.structure(0).is_ok());
        assert_eq!(walker.count, 27);
    }

    /// A page header: data page, sizes before and after compression, number of values.
    fn pages(unpacked: u64, packed: u64, values: u64) -> Result<(), LogError> {
        let integer = |bytes: &mut Vec<u8>, value: u64| {
            let mut rest = value << 1;
            while rest > 0x7f {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        };
        let mut bytes = vec![0x15, 0x00, 0x15];
        integer(&mut bytes, unpacked);
        bytes.push(0x15);
        integer(&mut bytes, packed);
        bytes.extend([0x2c, 0x15]);
        integer(&mut bytes, values);
        bytes.extend([0x00, 0x00, 1, 2, 3]);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let path = Path::new("x");
        check_column_pages(&mut file, path, 0..bytes.len() as u64, || Place::file(path))
    }

    #[test]
    fn pages_that_claim_too_much_are_refused() {
        assert!(pages(3, 3, 27).is_ok());
        assert!(matches!(pages(0x7fff_ffff, 3, 27), Err(LogError::TooLarge { .. })));
        assert!(matches!(pages(3, 3, 0x7fff_ffff), Err(LogError::TooLarge { .. })));
        assert!(matches!(pages(3, 4, 27), Err(LogError::Invalid { .. })));
    }

    #[test]
    fn a_list_longer_than_the_bytes_left_is_damage() {
        // Field 1, list of structs, 0xffffff elements claimed.
        assert!(walk(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0x07, 0x00, 0x00]).is_err());
        // Two structs, both there.
        assert!(walk(&[0x19, 0x2c, 0x00, 0x00, 0x00]).is_ok());
    }

    #[test]
    fn nesting_without_end_is_damage() {
        assert!(walk(&[0x1c; 4096]).is_err());
        assert!(walk(&[0x19; 4096]).is_err());
    }
}
