//! Serving a policy or a world: one thread asks it, zenoh's threads read and queue.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::zenoh::liveliness::LivelinessToken;
use ::zenoh::pubsub::Subscriber;
use ::zenoh::query::{ConsolidationMode, Query, QueryTarget, Queryable};
use ::zenoh::sample::SampleKind;
use ::zenoh::{Session, Wait as _};
use rehearse_scenarios::interface::{InterfaceError, PerTrial, Policy, TrialHandle, World};
use rehearse_scenarios::outcome::Fault;

use super::answers::{Answer, Origin};
use super::error::BridgeError;
use super::keys::{
    CLIENT_KEYS, Kind, Name, Operation, client_from_key, operation_key, random_id, token_key,
};
use super::queue::{Bounds, Entry, Items, Job, Queue, Work, refusal};
use super::service::{Facts, Service};
use crate::wire::policy::{ServerInfo, decode_end};
use crate::wire::world::WorldInfo;
use crate::wire::{
    Encoder, ErrorCode, ImageForm, Limits, ReplyAttachment, RequestAttachment, VERSION, WireError,
    judge, policy, world,
};

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// The name to serve under.
    pub name: Name,
    /// Most requests that wait; a further one is told to come again. Default 256.
    pub queue: usize,
    /// Most open trials of all clients together. Default 65 536.
    pub max_trials: usize,
    /// Most bytes of answers held for requests that are repeated. Default 64 MiB.
    pub answer_bytes: usize,
    /// Bounds on what a request may hold; the bytes are stated in the info.
    pub limits: Limits,
    /// Program and version, for the record.
    pub software: String,
}

impl ServerOptions {
    /// The defaults, under `name`.
    pub fn named(name: Name) -> Self {
        Self {
            name,
            queue: 256,
            max_trials: 65_536,
            answer_bytes: 64 * 1024 * 1024,
            limits: Limits::default(),
            software: concat!("rehearse-policy-bridge ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A world to be served, and what it states beside its embodiment.
pub struct ServedWorld {
    /// The world.
    pub world: Box<dyn World>,
    /// Most trials that it takes in one request.
    pub max_batch: usize,
    /// A digest of its weights or code, where it states one.
    pub digest: Option<String>,
}

/// A policy or a world that is being served, until this is dropped.
pub struct Server {
    name: Name,
    stop: Box<dyn Fn() + Send + Sync>,
    worker: Option<JoinHandle<()>>,
    _token: LivelinessToken,
    _queryables: Vec<Queryable<()>>,
    _clients: Subscriber<()>,
}

impl Server {
    /// Serves a policy under `options.name`.
    ///
    /// # Errors
    /// [`BridgeError::NameTaken`] if the name is served already; other [`BridgeError`]s if what
    /// the policy states does not hold together or zenoh refuses.
    pub fn policy(
        session: &Session,
        policy: Box<dyn Policy>,
        options: ServerOptions,
    ) -> Result<Self, BridgeError> {
        let mut info = policy.info().clone();
        options.name.as_str().clone_into(&mut info.name);
        if info.chunk == 0 || info.max_batch == 0 {
            let reason = "chunk and max_batch must be at least 1".to_owned();
            return Err(unfit(Kind::Policy, &options.name, reason));
        }
        let facts = Facts {
            kind: Kind::Policy,
            embodiment: info.embodiment.clone(),
            max_batch: info.max_batch,
            limits: options.limits,
        };
        serve(session, policy, facts, options, |server| policy::encode_info(&info, server))
    }

    /// Serves a world under `options.name`.
    ///
    /// # Errors
    /// As [`Server::policy`].
    pub fn world(
        session: &Session,
        served: ServedWorld,
        options: ServerOptions,
    ) -> Result<Self, BridgeError> {
        let ServedWorld { world, max_batch, digest } = served;
        if max_batch == 0 {
            let reason = "max_batch must be at least 1".to_owned();
            return Err(unfit(Kind::World, &options.name, reason));
        }
        let embodiment = world.embodiment().clone();
        let name = options.name.to_string();
        let info = WorldInfo { name, embodiment: embodiment.clone(), max_batch, digest };
        let facts = Facts { kind: Kind::World, embodiment, max_batch, limits: options.limits };
        serve(session, world, facts, options, |server| world::encode_info(&info, server))
    }

    /// The name that is served.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Waits until the server ends, which it does only if what it serves panics.
    pub fn wait(mut self) {
        if let Some(worker) = self.worker.take() {
            // A panic of the service is caught and reported where it happens.
            drop(worker.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        (self.stop)();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

fn unfit(kind: Kind, name: &Name, reason: String) -> BridgeError {
    BridgeError::Unfit { kind, name: name.clone(), reason }
}

fn serve<S: Service>(
    session: &Session,
    service: S,
    facts: Facts,
    options: ServerOptions,
    encode_info: impl FnOnce(&ServerInfo) -> Result<Vec<u8>, WireError>,
) -> Result<Server, BridgeError> {
    let ServerOptions { name, queue, max_trials, answer_bytes, limits, software } = options;
    let kind = facts.kind;
    facts.embodiment.validate().map_err(|error| unfit(kind, &name, error.to_string()))?;
    let id = random_id()?;
    let server = ServerInfo {
        server: id,
        software,
        images: ImageForm::ALL.to_vec(),
        max_message: limits.bytes,
    };
    let info = encode_info(&server).map_err(|error| unfit(kind, &name, error.to_string()))?;
    refuse_taken_name(session, kind, &name)?;

    let bounds = Bounds { requests: queue, trials: max_trials, answer_bytes };
    let desk = Arc::new(Desk { id, facts, info, queue: Queue::<S>::new(bounds) });
    let clients = {
        let desk = Arc::clone(&desk);
        session
            .liveliness()
            .declare_subscriber(format!("{CLIENT_KEYS}*"))
            .callback(move |sample| {
                if let (SampleKind::Delete, Some(client)) =
                    (sample.kind(), client_from_key(sample.key_expr().as_str()))
                {
                    desk.queue.end_client(client);
                }
            })
            .wait()
            .map_err(BridgeError::zenoh("watch clients"))?
    };
    let mut queryables = vec![];
    for operation in Operation::ALL {
        let desk = Arc::clone(&desk);
        let queryable = session
            .declare_queryable(operation_key(kind, &name, operation))
            .callback(move |query| {
                if let Err(answer) = desk.receive(operation, &query) {
                    answer.send(&query);
                }
            })
            .wait()
            .map_err(BridgeError::zenoh("declare a queryable"))?;
        queryables.push(queryable);
    }
    let token = session
        .liveliness()
        .declare_token(token_key(kind, &name))
        .wait()
        .map_err(BridgeError::zenoh("declare a liveliness token"))?;
    yield_to_earlier(session, kind, &name, id)?;

    let worker = {
        let desk = Arc::clone(&desk);
        std::thread::Builder::new()
            .name(format!("serve {name}"))
            .spawn(move || desk.work(service))
            .map_err(|source| BridgeError::System { what: "start a thread", source })?
    };
    let stop = Box::new(move || desk.queue.stop());
    Ok(Server {
        name,
        stop,
        worker: Some(worker),
        _token: token,
        _queryables: queryables,
        _clients: clients,
    })
}

const ROLL_CALL: Duration = Duration::from_secs(2);

fn refuse_taken_name(session: &Session, kind: Kind, name: &Name) -> Result<(), BridgeError> {
    let tokens = session
        .liveliness()
        .get(token_key(kind, name))
        .timeout(ROLL_CALL)
        .wait()
        .map_err(BridgeError::zenoh("ask for the name"))?;
    while let Ok(reply) = tokens.recv() {
        if reply.result().is_ok() {
            return Err(BridgeError::NameTaken { kind, name: name.clone() });
        }
    }
    Ok(())
}

/// Of two servers that took the name at the same time, the one with the smaller id stays.
fn yield_to_earlier(
    session: &Session,
    kind: Kind,
    name: &Name,
    id: [u8; 16],
) -> Result<(), BridgeError> {
    let replies = session
        .get(operation_key(kind, name, Operation::Info))
        .target(QueryTarget::All)
        .consolidation(ConsolidationMode::None)
        .timeout(ROLL_CALL)
        .wait()
        .map_err(BridgeError::zenoh("ask for the name"))?;
    while let Ok(reply) = replies.recv() {
        let Ok(sample) = reply.result() else { continue };
        let bytes = sample.payload().to_bytes();
        let limits = Limits::default();
        let other = match kind {
            Kind::Policy => policy::decode_info(&bytes, &limits).map(|(_, server)| server.server),
            Kind::World => world::decode_info(&bytes, &limits).map(|(_, server)| server.server),
            Kind::Judge => judge::decode_info(&bytes, &limits).map(|(_, server)| server.server),
        };
        if other.is_ok_and(|other| other < id) {
            return Err(BridgeError::NameTaken { kind, name: name.clone() });
        }
    }
    Ok(())
}

/// Where requests come in and answers go out.
struct Desk<S: Service> {
    id: [u8; 16],
    facts: Facts,
    info: Vec<u8>,
    queue: Queue<S>,
}

impl<S: Service> Desk<S> {
    /// Takes a request in: answers it at once (`Err`) or queues it.
    fn receive(&self, operation: Operation, query: &Query) -> Result<(), Answer> {
        if operation == Operation::Info {
            let attachment = self.attachment(0, vec![]);
            return Err(Answer::Ok { payload: self.info.clone().into(), attachment });
        }
        let malformed = |error: WireError| refusal(ErrorCode::Malformed, &error.to_string());
        let Some(attachment) = query.attachment() else {
            return Err(malformed(WireError::Missing { field: "attachment".to_owned() }));
        };
        let attachment = RequestAttachment::decode(&attachment.to_bytes()).map_err(malformed)?;
        let RequestAttachment { version, client, request, ref trials, .. } = attachment;
        if version != VERSION {
            let message = format!("version {version} is not spoken here: speak version {VERSION}");
            return Err(refusal(ErrorCode::UnsupportedVersion, &message));
        }
        let size = query.payload().map_or(0, ::zenoh::bytes::ZBytes::len);
        if size > self.facts.limits.bytes {
            let message = format!("{size} bytes; at most {} are taken", self.facts.limits.bytes);
            return Err(refusal(ErrorCode::TooLarge, &message));
        }
        let bytes = query.payload().map(|payload| payload.to_bytes()).unwrap_or_default();
        if operation == Operation::End {
            let ended = decode_end(&bytes, &self.facts.limits).map_err(malformed)?;
            self.queue.end(client, &ended);
            let mut empty = Encoder::default();
            empty.map(0);
            let payload = empty.into_bytes().into();
            return Err(Answer::Ok { payload, attachment: self.attachment(request, ended) });
        }
        if trials.len() > self.facts.max_batch {
            let most = self.facts.max_batch;
            let message =
                format!("{} trials in one request; at most {most} are taken", trials.len());
            return Err(refusal(ErrorCode::TooLarge, &message));
        }
        let distinct: BTreeSet<_> = trials.iter().collect();
        if trials.is_empty() || distinct.len() != trials.len() {
            let message = "a request names one trial at least, and none twice";
            return Err(refusal(ErrorCode::Malformed, message));
        }
        if let Some(known) = self.queue.known((client, request), query) {
            return known;
        }
        let items = self.read(operation, &bytes, trials).map_err(malformed)?;
        self.queue.push(&attachment, items, query.clone(), &self.facts)
    }

    fn read(
        &self,
        operation: Operation,
        bytes: &[u8],
        trials: &[TrialHandle],
    ) -> Result<Items<S>, WireError> {
        let (items, same) = if operation == Operation::Open {
            let mut items = S::decode_open(bytes, &self.facts)?;
            let same = items.len() == trials.len()
                && items.iter_mut().zip(trials).all(|(item, trial)| S::handle(item) == trial);
            (Items::Open(items), same)
        } else {
            let items = S::decode_ask(bytes, &self.facts)?;
            let same = items.iter().map(|(trial, _)| trial).eq(trials);
            (Items::Ask(items), same)
        };
        if same {
            return Ok(items);
        }
        let expected = "the trials of the attachment, in the same order";
        Err(WireError::field("trials", expected, "other trials"))
    }

    fn attachment(&self, request: u64, trials: Vec<TrialHandle>) -> ::zenoh::bytes::ZBytes {
        ReplyAttachment { version: VERSION, server: self.id, request, trials }.encode().into()
    }

    /// Asks the service, batch by batch, until the server is dropped or the service panics.
    fn work(&self, mut service: S) {
        loop {
            let worked = match self.queue.next(self.facts.max_batch) {
                Work::Stop => return,
                Work::Close(trials) => {
                    catch_unwind(AssertUnwindSafe(|| service.close(&trials))).is_ok()
                }
                Work::Batch(jobs) => self.work_batch(&mut service, jobs),
            };
            if !worked {
                tracing::error!("what is served panicked; the server ends");
                self.queue.stop();
                return;
            }
        }
    }

    /// False if the service panicked.
    fn work_batch(&self, service: &mut S, jobs: Vec<Job<S>>) -> bool {
        let now = Instant::now();
        let mut opening = Group::default();
        let mut asking = Group::default();
        for Job { origin, mut trials, items, expires } in jobs {
            let admitted = trials.iter().any(|entry| entry.own.is_ok());
            for entry in &mut trials {
                if let Ok(own) = entry.own
                    && !self.queue.is_open(origin, entry.trial, own)
                {
                    entry.own = Err(self.fault("the trial was ended meanwhile"));
                }
            }
            let ended = admitted && trials.iter().all(|entry| entry.own.is_err());
            let answer = if ended {
                Some(refusal(ErrorCode::Cancelled, "the trials were ended meanwhile"))
            } else if expires <= now {
                Some(refusal(ErrorCode::Deadline, "the deadline passed in the queue"))
            } else {
                None
            };
            if let Some(answer) = answer {
                let opens = matches!(items, Items::Open(_));
                self.queue.answer(origin, &trials, |_| opens, &answer);
                continue;
            }
            match items {
                Items::Open(items) => opening.add(origin, trials, items, |item, own| {
                    *S::handle(item) = own;
                }),
                Items::Ask(items) => asking.add(origin, trials, items, |(trial, _), own| {
                    *trial = own;
                }),
            }
        }
        let opened = opening.run(self, |items| service.open(items), S::encode_opened);
        let answered = asking.run(self, |items| service.ask(items), S::encode_answers);
        opened && answered
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(self.facts.kind.broken(), message)
    }
}

/// Requests of one kind, and the items of them that the service gets, in the same order.
struct Group<I> {
    asked: Vec<(Origin, Vec<Entry>)>,
    items: Vec<I>,
}

impl<I> Default for Group<I> {
    fn default() -> Self {
        Self { asked: vec![], items: vec![] }
    }
}

impl<I> Group<I> {
    fn add(
        &mut self,
        origin: Origin,
        trials: Vec<Entry>,
        items: Vec<I>,
        relabel: impl Fn(&mut I, TrialHandle),
    ) {
        for (mut item, entry) in items.into_iter().zip(&trials) {
            if let Ok(own) = entry.own {
                relabel(&mut item, own);
                self.items.push(item);
            }
        }
        self.asked.push((origin, trials));
    }

    /// Asks the service and answers each request. False if the service panicked.
    fn run<S: Service, T>(
        self,
        desk: &Desk<S>,
        call: impl FnOnce(&[I]) -> Result<Vec<PerTrial<T>>, InterfaceError>,
        encode: impl Fn(&[(TrialHandle, PerTrial<T>)], &Facts) -> Result<Vec<u8>, WireError>,
    ) -> bool {
        let Self { asked, items } = self;
        let called = if items.is_empty() {
            Ok(Ok(vec![]))
        } else {
            catch_unwind(AssertUnwindSafe(|| call(&items)))
        };
        let panicked = called.is_err();
        let kind = desk.facts.kind;
        let mut results = match called {
            Err(_panic) => Err(format!("the {kind} panicked")),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(results)) if results.len() != items.len() => {
                let (got, expected) = (results.len(), items.len());
                Err(format!("the {kind} answered {got} of {expected} trials"))
            }
            Ok(Ok(results)) => Ok(results.into_iter()),
        };
        for (origin, trials) in asked {
            let answer = match &mut results {
                Err(message) => Err(refusal(ErrorCode::Failed, message)),
                Ok(results) => {
                    let results = trials.iter().map(|entry| {
                        let result = match &entry.own {
                            Ok(_) => results.next().unwrap_or_else(|| Err(desk.fault("no answer"))),
                            Err(refused) => Err(refused.clone()),
                        };
                        (entry.trial, result)
                    });
                    desk.reply(origin, &results.collect::<Vec<_>>(), &encode)
                }
            };
            match answer {
                Ok((answer, over)) => {
                    desk.queue.answer(origin, &trials, |trial| over.contains(&trial), &answer);
                }
                Err(answer) => desk.queue.answer(origin, &trials, |_| true, &answer),
            }
        }
        !panicked
    }
}

impl<S: Service> Desk<S> {
    /// The answer of results, and the trials that are over with it.
    fn reply<T>(
        &self,
        origin: Origin,
        results: &[(TrialHandle, PerTrial<T>)],
        encode: impl Fn(&[(TrialHandle, PerTrial<T>)], &Facts) -> Result<Vec<u8>, WireError>,
    ) -> Result<(Answer, BTreeSet<TrialHandle>), Answer> {
        let payload = encode(results, &self.facts)
            .map_err(|error| refusal(ErrorCode::Failed, &error.to_string()))?;
        let attachment =
            self.attachment(origin.1, results.iter().map(|(trial, _)| *trial).collect());
        let over =
            results.iter().filter(|(_, result)| result.is_err()).map(|(trial, _)| *trial).collect();
        Ok((Answer::Ok { payload: payload.into(), attachment }, over))
    }
}
