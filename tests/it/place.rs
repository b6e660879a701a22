//! A small log, a suite on it, and policies in processes of their own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Run, rehearse, shipped_log};

/// A small log, a suite on it, and policies that are served as long as this lives.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub endpoint: String,
    servers: Vec<Child>,
}

impl Place {
    pub fn empty() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, endpoint: format!("tcp/127.0.0.1:{port}"), servers: vec![] }
    }

    pub fn new(repeats: u32) -> Self {
        let mut place = Self::empty();
        let log = place.folder.path().join("log");
        let run = rehearse([
            "logs",
            "convert",
            shipped_log().to_str().unwrap(),
            log.to_str().unwrap(),
            "--size",
            "16x16",
            "--codec",
            "h264",
        ]);
        assert_eq!(run.code, 0, "{run:?}");
        place.suite("suite.toml", repeats, "still", "towel");
        let (log, endpoint) = (place.path("log"), place.endpoint.clone());
        // One process listens, the others and the runs connect to it.
        place.serve(&["replay", &log, "--episode", "1", "--name", "again", "--listen", &endpoint]);
        let action = "0,0,0,0,0,0,0";
        place.serve(&[
            "constant",
            "--action",
            action,
            "--log",
            &log,
            "--name",
            "still",
            "--connect",
            &endpoint,
        ]);
        place
    }

    pub fn suite(&self, file: &str, repeats: u32, policy: &str, task: &str) {
        let instruction = match task {
            "towel" => "Move the green towel to the right of the lid",
            _ => "do what nobody did",
        };
        let text = format!(
            "name = \"small\"\nworld = {{ kind = \"replay\" }}\nlogs = \"log\"\nhorizon = 8\n\
             repeats = {repeats}\n\
             [[policy]]\nname = \"again\"\nzenoh = \"again\"\nexecute = 4\n\
             [[policy]]\nname = \"{policy}\"\nzenoh = \"{policy}\"\n\
             [[task]]\nname = \"{task}\"\ninstruction = \"{instruction}\"\n\
             starts = {{ split = \"val\", count = 1 }}\n\
             [[variation]]\nkind = \"lighting\"\ngain = [0.6, 1.4]\n"
        );
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    pub fn serve(&mut self, arguments: &[&str]) {
        let mut server = Command::new(env!("CARGO_BIN_EXE_rehearse"))
            .args(["policy", "serve"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("serving policy"), "{line}");
        self.servers.push(server);
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn arguments(&self, suite: &str, out: &str, rest: &[&str]) -> Vec<String> {
        let mut arguments =
            vec!["run".to_owned(), self.path(suite), "--out".into(), self.path(out)];
        arguments.extend(["--connect".to_owned(), self.endpoint.clone()]);
        arguments.extend(rest.iter().map(|&word| word.to_owned()));
        arguments
    }

    pub fn run(&self, suite: &str, out: &str, rest: &[&str]) -> Run {
        rehearse(self.arguments(suite, out, rest))
    }

    pub fn table(&self, out: &str) -> Vec<u8> {
        fs::read(Path::new(&self.path(out)).join("trials.parquet")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.kill());
            drop(server.wait());
        }
    }
}
