//! `POST /act`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rehearse_policy_bridge::adapter::connect;
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::outcome::{Fault, FaultKind};
use serde_json::{Value, json};

use super::fake::{self, manifest, observation};

/// Answers every request with `status` and `body`; requests come as (path, JSON).
fn http(status: &'static str, body: String) -> (String, Receiver<(String, Value)>) {
    let (tell, told) = sync_channel(64);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut length = 0;
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut request = vec![0; length];
            reader.read_exact(&mut request).unwrap();
            tell.send((path, serde_json::from_slice(&request).unwrap())).unwrap();
            let size = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body.as_bytes()).unwrap();
        }
    };
    thread::Builder::new().name("fake".to_owned()).spawn(serve).unwrap();
    (url, told)
}

fn ask(url: &str, changes: &[(&str, &str)]) -> Result<ActionChunk, Fault> {
    let seen = observation(&[("agent", 0)], (0..7).map(|value| value as f32).collect());
    fake::ask_once(url, fake::changed("rest.toml", changes), &seen)
}

#[test]
fn a_request_is_as_json_numpy_writes_it() {
    let (url, told) = http("200 OK", json!([0, 1, 2, 3, 4, 5, 6]).to_string());
    let chunk = ask(&url, &[]).unwrap();
    assert_eq!(chunk.view()[[0, 6]], 6.0);
    let (path, request) = told.recv().unwrap();
    assert_eq!(path, "/act");
    let image = json!({ "__numpy__": "AAECAwQFBgcICQoL", "dtype": "|u1", "shape": [2, 2, 3] });
    assert_eq!(request["image"], image);
    assert_eq!(request["proprio"]["dtype"], "<f4");
    assert_eq!(request["proprio"]["shape"], json!([7]));
    assert_eq!(request["instruction"], "pick up the cup");
    assert_eq!(request["unnorm_key"], "bridge_orig");
}

#[test]
fn arrays_are_read_as_json_numpy_wrote_them() {
    // From json-numpy: 0 to 5 as (2, 3) of <f4.
    let written = fake::json("parity.json")["json_numpy"].clone();
    assert_eq!(written["shape"], json!([2, 3]));
    let row = json!({ "__numpy__": "AAAAAAAAgD8AAABAAABAQAAAgEAAAKBAAADAQA==", "dtype": "<f4", "shape": [7] });
    for body in [row.to_string(), json!([row]).to_string(), json!(row.to_string()).to_string()] {
        let (url, _told) = http("200 OK", body.clone());
        let chunk = ask(&url, &[]).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(
            chunk.view().iter().copied().collect::<Vec<_>>(),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        );
    }
    let (url, _told) = http("200 OK", written.to_string());
    let fault = ask(&url, &[]).unwrap_err();
    assert!(fault.message.contains("is 2×3, the manifest states 1×7"), "{fault}");
}

#[test]
fn a_double_encoded_request_is_one_string() {
    let (url, told) = http("200 OK", json!("[0, 0, 0, 0, 0, 0, 1]").to_string());
    ask(&url, &[("dialect = \"rest\"", "dialect = \"rest_double_encoded\"")]).unwrap();
    let (_, request) = told.recv().unwrap();
    assert_eq!(request.as_object().unwrap().len(), 1);
    let inner: Value = serde_json::from_str(request["encoded"].as_str().unwrap()).unwrap();
    assert_eq!(inner["instruction"], "pick up the cup");
}

#[test]
fn what_goes_wrong_is_said() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let cases: Vec<(&'static str, String, FaultKind, &str)> = vec![
        ("200 OK", "\"error\"".to_owned(), FaultKind::PolicyCrashed, "its own log says why"),
        (
            "500 Internal Server Error",
            json!({"detail": "no GPU"}).to_string(),
            FaultKind::PolicyCrashed,
            "no GPU",
        ),
        ("200 OK", "<html>".to_owned(), FaultKind::MalformedAction, "no JSON"),
        ("200 OK", "[1, 2]".to_owned(), FaultKind::MalformedAction, "1×2"),
        ("200 OK", "[[1, 2], [1]]".to_owned(), FaultKind::MalformedAction, "differ in length"),
        ("200 OK", "null".to_owned(), FaultKind::MalformedAction, "no array"),
        ("200 OK", deep, FaultKind::MalformedAction, "two axes"),
        (
            "200 OK",
            json!({"__numpy__": "AAAA", "dtype": "<f4", "shape": [7]}).to_string(),
            FaultKind::MalformedAction,
            "3 bytes",
        ),
        (
            "200 OK",
            json!({"__numpy__": "AAAA", "dtype": "|O", "shape": [7]}).to_string(),
            FaultKind::MalformedAction,
            "|O",
        ),
    ];
    for (status, body, kind, text) in cases {
        let (url, _told) = http(status, body);
        let fault = ask(&url, &[]).unwrap_err();
        assert_eq!(fault.kind, kind, "{text}: {fault}");
        assert!(fault.message.contains(text), "{text}: {fault}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It listens and never answers.
    let fault = ask(&url, &[("timeout_ms = 5000", "timeout_ms = 60")]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PolicyTimeout, "{fault}");
    drop(listener);
    assert_eq!(ask(&url, &[]).unwrap_err().kind, FaultKind::PolicyCrashed);
    assert!(connect("other", "ws://127.0.0.1:1", manifest("rest.toml")).is_err());
}
