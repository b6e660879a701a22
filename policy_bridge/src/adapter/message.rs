//! Requests as MessagePack, in the dialects of other projects, and their replies.

use std::collections::BTreeMap;

use super::convert::{Item, Request, Table};
use super::manifest::{Constant, FloatType};
use super::picture::Picture;
use crate::wire::{Array, DType, Encoder, Fields, Value, WireError};

/// How a dialect writes arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArrayStyle {
    /// openpi's msgpack-numpy: binary keys.
    BinaryKeys,
    /// vla-eval: string keys, and images marked as such.
    StringKeys,
}

/// The entries of a request, nested by the dots in their keys.
pub(super) enum Node<'r> {
    Leaf(&'r Item),
    Map(Vec<(&'r str, Node<'r>)>),
}

/// Nests the entries of a request; a map stands where its first entry does.
pub(super) fn nested(request: &Request) -> Vec<(&str, Node<'_>)> {
    let mut root = vec![];
    for (key, item) in &request.entries {
        insert(&mut root, key, item);
    }
    root
}

fn insert<'r>(level: &mut Vec<(&'r str, Node<'r>)>, key: &'r str, item: &'r Item) {
    let Some((head, tail)) = key.split_once('.') else {
        level.push((key, Node::Leaf(item)));
        return;
    };
    for (name, node) in &mut *level {
        if let (true, Node::Map(below)) = (*name == head, node) {
            return insert(below, tail, item);
        }
    }
    let mut below = vec![];
    insert(&mut below, tail, item);
    level.push((head, Node::Map(below)));
}

/// Writes nested entries as a map, `extra` entries to follow.
pub(super) fn write_map(
    out: &mut Encoder,
    entries: &[(&str, Node<'_>)],
    extra: usize,
    style: ArrayStyle,
) {
    out.map(entries.len() + extra);
    for (key, node) in entries {
        out.str(key);
        match node {
            Node::Leaf(item) => write_item(out, item, style),
            Node::Map(below) => write_map(out, below, 0, style),
        }
    }
}

/// Writes one entry's value.
pub(super) fn write_item(out: &mut Encoder, item: &Item, style: ArrayStyle) {
    match item {
        Item::Picture(picture) => write_picture(out, picture, style),
        Item::Vector(dtype, values) => {
            write_vector(out, *dtype, &[values.len()], values, style);
        }
        Item::Text(text) | Item::Constant(Constant::Text(text)) => out.str(text),
        Item::Constant(Constant::Bool(value)) => out.bool(*value),
        Item::Constant(Constant::Integer(value)) => out.int(*value),
        Item::Constant(Constant::Number(value)) => out.f64(*value),
    }
}

fn write_picture(out: &mut Encoder, picture: &Picture, style: ArrayStyle) {
    let shape = picture.shape();
    match style {
        ArrayStyle::BinaryKeys => out.array_u8(&shape, &picture.pixels),
        ArrayStyle::StringKeys => {
            out.map(5);
            out.str("__image__");
            out.bool(true);
            out.str("format");
            out.str("raw");
            write_string_tail(out, DType::U8, &shape, &picture.pixels);
        }
    }
}

/// Writes numbers of any shape.
pub(super) fn write_vector(
    out: &mut Encoder,
    dtype: FloatType,
    shape: &[usize],
    values: &[f64],
    style: ArrayStyle,
) {
    let (dtype, data) = little_endian(dtype, values);
    match style {
        ArrayStyle::BinaryKeys => {
            out.value(&Array { dtype, shape: shape.to_vec(), data: data.into() }.into_value());
        }
        ArrayStyle::StringKeys => {
            out.map(4);
            out.str("__ndarray__");
            out.bool(true);
            write_string_tail(out, dtype, shape, &data);
        }
    }
}

/// Numbers as the bytes of an array.
pub(super) fn little_endian(dtype: FloatType, values: &[f64]) -> (DType, Vec<u8>) {
    match dtype {
        FloatType::F32 => {
            (DType::F32, values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect())
        }
        FloatType::F64 => {
            (DType::F64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    }
}

fn write_string_tail(out: &mut Encoder, dtype: DType, shape: &[usize], data: &[u8]) {
    out.str("data");
    out.bin(data);
    out.str("dtype");
    out.str(dtype.as_str());
    out.str("shape");
    out.array(shape.len());
    for &side in shape {
        out.uint(side as u64);
    }
}

/// The value at a dotted key.
pub(super) fn at<'v, 'a>(fields: Fields<'v, 'a>, key: &str) -> Option<&'v Value<'a>> {
    // Keys with dots of their own exist too.
    if let Some(value) = fields.get_either(key) {
        return Some(value);
    }
    let (head, tail) = key.split_once('.')?;
    at(fields.get(head)?.fields(head).ok()?, tail)
}

/// The tables of a reply under `keys`, from a map of arrays or, for the key `actions`, a bare
/// array.
///
/// # Errors
/// A sentence if an array is malformed. Keys that are missing are left out.
pub(super) fn tables<'k>(
    reply: &Value<'_>,
    keys: impl Iterator<Item = &'k str>,
) -> Result<BTreeMap<String, Table>, String> {
    let text = |error: WireError| error.to_string();
    let mut found = BTreeMap::new();
    if Array::is_array(reply) {
        found.insert(
            "actions".to_owned(),
            table(&Array::from_value(reply, "the reply").map_err(text)?)?,
        );
        return Ok(found);
    }
    let fields = reply.fields("the reply").map_err(text)?;
    for key in keys {
        if let Some(value) = at(fields, key) {
            let array = Array::from_value(value, key).map_err(text)?;
            found.insert(key.to_owned(), table(&array)?);
        }
    }
    Ok(found)
}

/// An array of numbers as a table.
pub(super) fn table(array: &Array<'_>) -> Result<Table, String> {
    let values = array.to_f32("actions").map_err(|error| error.to_string())?;
    Table::new(&array.shape, values.into_iter().map(f64::from).collect())
}
