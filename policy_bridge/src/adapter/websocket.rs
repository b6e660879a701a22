//! A websocket connection with deadlines, that is opened anew when an idle server closed it.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use rehearse_scenarios::outcome::{Fault, FaultKind};
use tungstenite::client::{IntoClientRequest as _, client_with_config};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, Error, HandshakeError, Message, WebSocket};

/// Largest message that is sent or taken, in bytes; also vLLM-Omni's limit.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A frame that holds something.
#[derive(Debug)]
pub(super) enum Frame {
    Binary(Bytes),
    Text(String),
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The server was not reached, or the connection went before it said anything.
    #[error("{0}")]
    Gone(String),
    /// Nothing came in time.
    #[error("no answer in {:.3} s", .0.as_secs_f64())]
    Late(Duration),
}

impl Broken {
    /// What it means for a trial.
    pub fn fault(&self, server: &str) -> Fault {
        let kind = match self {
            Self::Gone(_) => FaultKind::PolicyCrashed,
            Self::Late(_) => FaultKind::PolicyTimeout,
        };
        Fault::new(kind, format!("{server}: {self}"))
    }
}

/// The websocket settings of both directions.
pub(super) fn settings() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// A connection to a websocket server.
#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocket<TcpStream>,
    timeout: Duration,
}

impl Connection {
    /// Connects to `url`, as in `ws://gpu-box:8000`.
    pub fn open(url: &str, timeout: Duration) -> Result<Self, Broken> {
        let gone = |problem: String| Broken::Gone(format!("cannot connect: {problem}"));
        let request = url.into_client_request().map_err(|error| gone(error.to_string()))?;
        let uri = request.uri();
        if uri.scheme_str() != Some("ws") {
            return Err(gone(
                "the address must begin with ws://; for TLS put a tunnel in front".into(),
            ));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(80);
        let addresses =
            (host.as_str(), port).to_socket_addrs().map_err(|error| gone(error.to_string()))?;
        let mut problem = "the name has no address".to_owned();
        for address in addresses {
            let stream = match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => stream,
                Err(error) => {
                    problem = error.to_string();
                    continue;
                }
            };
            let ready = stream
                .set_nodelay(true)
                .and_then(|()| stream.set_read_timeout(Some(timeout)))
                .and_then(|()| stream.set_write_timeout(Some(timeout)));
            ready.map_err(|error| gone(error.to_string()))?;
            return match client_with_config(request, stream, Some(settings())) {
                Ok((socket, _response)) => Ok(Self { socket, timeout }),
                Err(HandshakeError::Interrupted(_)) => Err(Broken::Late(timeout)),
                Err(HandshakeError::Failure(error)) => Err(gone(error.to_string())),
            };
        }
        Err(gone(problem))
    }

    /// The connection, unless the server has closed it, or said something unasked, while it was
    /// idle. Answers pings on the way.
    pub fn unless_stale(mut self) -> Option<Self> {
        self.socket.get_ref().set_nonblocking(true).ok()?;
        loop {
            match self.socket.read() {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => return None,
            }
        }
        self.socket.get_ref().set_nonblocking(false).ok()?;
        Some(self)
    }

    /// Sends a binary frame.
    pub fn send(&mut self, bytes: Bytes) -> Result<(), Broken> {
        self.socket.send(Message::Binary(bytes)).map_err(|error| self.broken(&error))
    }

    /// Waits for the next frame that holds something.
    pub fn receive(&mut self) -> Result<Frame, Broken> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::Late(self.timeout));
            }
            if let Err(error) = self.socket.get_ref().set_read_timeout(Some(left)) {
                return Err(Broken::Gone(error.to_string()));
            }
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => return Ok(Frame::Binary(bytes)),
                Ok(Message::Text(text)) => return Ok(Frame::Text(text.to_string())),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(reason)) => {
                    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                    return Err(Broken::Gone(format!("the server closed the connection{reason}")));
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    fn broken(&self, error: &Error) -> Broken {
        match error {
            Error::Io(io) if matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Broken::Late(self.timeout)
            }
            Error::Capacity(_) => Broken::Gone(format!(
                "a message above {MAX_MESSAGE_BYTES} bytes, which is the limit: {error}"
            )),
            other => Broken::Gone(format!("the connection broke: {other}")),
        }
    }
}
