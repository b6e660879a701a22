//! `POST /act` with json-numpy, as `OpenVLA`'s and `AutoEval`'s servers take it.
//!
//! Sources: `OpenVLA` `vla-scripts/deploy.py`, `auto_eval` `auto_eval/policy_server/template.py`.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rehearse_scenarios::interface::{Begin, TrialHandle};
use rehearse_scenarios::outcome::{Fault, FaultKind};
use serde_json::{Map, Value, json};

use super::convert::{Item, Request, Table};
use super::error::AdapterError;
use super::manifest::{Constant, Dialect, Manifest};
use super::message::{Node, little_endian, nested};
use super::openpi::last_line;
use super::remote::{Answer, Remote};
use super::websocket::MAX_MESSAGE_BYTES;
use crate::wire::{Array, DType};

pub(super) struct RestRemote {
    url: String,
    agent: ureq::Agent,
    double_encoded: bool,
    keys: Vec<String>,
}

impl RestRemote {
    /// Prepares a client. There is nothing that a server could be asked before the first
    /// observation: `OpenVLA`'s has no other route.
    pub fn connect(url: &str, manifest: &Manifest) -> Result<Self, AdapterError> {
        let refused = |problem: String| AdapterError::Server { server: url.to_owned(), problem };
        let parsed: ureq::http::Uri =
            url.parse().map_err(|error| refused(format!("its address is none: {error}")))?;
        if parsed.scheme_str() != Some("http") {
            let problem = "the address must begin with http://; for TLS put a tunnel in front";
            return Err(refused(problem.to_owned()));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(manifest.server.timeout_ms)))
            .http_status_as_error(false)
            .build();
        let path = if parsed.path() == "/" { "/act" } else { "" };
        Ok(Self {
            url: format!("{}{path}", url.trim_end_matches('/')),
            agent: ureq::Agent::new_with_config(config),
            double_encoded: manifest.server.dialect == Dialect::RestDoubleEncoded,
            keys: manifest.actions.iter().map(|action| action.key.clone()).collect(),
        })
    }

    fn ask_one(&self, request: &Request) -> Answer {
        let fault = |kind, message: String| Fault::new(kind, format!("{}: {message}", self.url));
        let transport = |error: &ureq::Error| match error {
            ureq::Error::Timeout(_) => fault(FaultKind::PolicyTimeout, error.to_string()),
            _ => fault(FaultKind::PolicyCrashed, error.to_string()),
        };
        let mut body = object(&nested(request)).to_string();
        if self.double_encoded {
            body = json!({ "encoded": body }).to_string();
        }
        let mut response = self
            .agent
            .post(&self.url)
            .content_type("application/json")
            .send(body)
            .map_err(|error| transport(&error))?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_MESSAGE_BYTES as u64)
            .read_to_string()
            .map_err(|error| transport(&error))?;
        if !status.is_success() {
            let said = last_line(&text);
            return Err(fault(FaultKind::PolicyCrashed, format!("status {status}: {said}")));
        }
        reply(&text, &self.keys).map_err(|(kind, message)| fault(kind, message))
    }
}

impl Remote for RestRemote {
    fn begin(&mut self, _begin: &Begin) -> Result<(), Fault> {
        Ok(())
    }

    fn ask(&mut self, requests: &[(TrialHandle, Request)]) -> Vec<Answer> {
        requests.iter().map(|(_, request)| self.ask_one(request)).collect()
    }

    fn end(&mut self, _trial: TrialHandle) {}
}

fn object(entries: &[(&str, Node<'_>)]) -> Value {
    let entries = entries.iter().map(|(key, node)| {
        let value = match node {
            Node::Leaf(item) => leaf(item),
            Node::Map(below) => object(below),
        };
        ((*key).to_owned(), value)
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

fn leaf(item: &Item) -> Value {
    match item {
        Item::Picture(picture) => numpy(DType::U8, &picture.shape(), &picture.pixels),
        Item::Vector(dtype, values) => {
            let (dtype, data) = little_endian(*dtype, values);
            numpy(dtype, &[values.len()], &data)
        }
        Item::Text(text) | Item::Constant(Constant::Text(text)) => json!(text),
        Item::Constant(Constant::Bool(value)) => json!(value),
        Item::Constant(Constant::Integer(value)) => json!(value),
        Item::Constant(Constant::Number(value)) => json!(value),
    }
}

/// An array as json-numpy writes it.
fn numpy(dtype: DType, shape: &[usize], data: &[u8]) -> Value {
    json!({ "__numpy__": STANDARD.encode(data), "dtype": dtype.as_str(), "shape": shape })
}

/// Reads a reply: an array, a list of numbers, a list of either, or any of these once more encoded
/// as a string.
fn reply(text: &str, keys: &[String]) -> Result<BTreeMap<String, Table>, (FaultKind, String)> {
    let malformed = |message: String| (FaultKind::MalformedAction, message);
    let parse = |text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| malformed(format!("the reply is no JSON: {error}")))
    };
    let mut value = parse(text)?;
    if let Value::String(inner) = &value {
        // OpenVLA answers "error", with status 200, to whatever it could not do.
        if inner == "error" {
            let message = "it answered \"error\"; its own log says why".to_owned();
            return Err((FaultKind::PolicyCrashed, message));
        }
        value = parse(inner)?;
    }
    let mut found = BTreeMap::new();
    match &value {
        Value::Object(entries) if !entries.contains_key("__numpy__") => {
            for key in keys {
                if let Some(value) = entries.get(key) {
                    found.insert(key.clone(), table(value).map_err(malformed)?);
                }
            }
        }
        bare => drop(found.insert("actions".to_owned(), table(bare).map_err(malformed)?)),
    }
    Ok(found)
}

fn table(value: &Value) -> Result<Table, String> {
    let (shape, values) = numbers(value)?;
    Table::new(&shape, values)
}

/// Shape and values of an array, a list of numbers or a list of equals; at most two axes.
fn numbers(value: &Value) -> Result<(Vec<usize>, Vec<f64>), String> {
    match value {
        Value::Object(entries) => array(entries),
        Value::Array(items) if items.iter().all(Value::is_number) => {
            let values = items.iter().filter_map(Value::as_f64).collect::<Vec<_>>();
            Ok((vec![values.len()], values))
        }
        Value::Array(items) => {
            let mut all = vec![];
            let mut width = None;
            for item in items {
                // Rows of rows are not chunks, and depth must not follow the sender's wish.
                if let Value::Array(row) = item
                    && !row.iter().all(Value::is_number)
                {
                    return Err("an array of more than two axes is no chunk".to_owned());
                }
                let (shape, values) = numbers(item)?;
                let [columns] = *shape else {
                    return Err(format!("a row of the chunk has shape {shape:?}"));
                };
                if *width.get_or_insert(columns) != columns {
                    return Err("the rows of the chunk differ in length".to_owned());
                }
                all.extend(values);
            }
            Ok((vec![items.len(), width.unwrap_or_default()], all))
        }
        other => Err(format!("the reply is no array: {}", last_line(&other.to_string()))),
    }
}

fn array(entries: &Map<String, Value>) -> Result<(Vec<usize>, Vec<f64>), String> {
    let text = |key: &str| {
        entries.get(key).and_then(Value::as_str).ok_or_else(|| format!("the array has no {key}"))
    };
    let descr = text("dtype")?;
    let dtype = DType::from_name(descr).ok_or_else(|| format!("the array's dtype is {descr:?}"))?;
    let data = STANDARD.decode(text("__numpy__")?).map_err(|error| error.to_string())?;
    let shape = entries
        .get("shape")
        .and_then(Value::as_array)
        .and_then(|sides| {
            sides.iter().map(|side| Some(side.as_u64()? as usize)).collect::<Option<Vec<_>>>()
        })
        .ok_or("the array has no shape")?;
    let expected = shape.iter().try_fold(dtype.size(), |bytes, &side| bytes.checked_mul(side));
    if expected != Some(data.len()) {
        return Err(format!("the array has {} bytes for the shape {shape:?}", data.len()));
    }
    let array = Array { dtype, shape: shape.clone(), data: data.into() };
    let values = array.to_f32("action").map_err(|error| error.to_string())?;
    Ok((shape, values.into_iter().map(f64::from).collect()))
}
