//! Observations into requests and replies into action chunks, and both ways back, as a
//! [`Manifest`] states.

use std::collections::BTreeMap;

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_scenarios::time::SimTime;

use super::manifest::{Constant, FloatType, Manifest, VectorFacts};
use super::part::Part;
use super::picture::Picture;

/// A request, as it is written for any dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Simulated time of the observation.
    pub time: SimTime,
    /// Entries by key, in the order of the manifest: images, states, instruction, extras.
    pub entries: Vec<(String, Item)>,
}

/// An entry of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An image.
    Picture(Picture),
    /// A vector of numbers.
    Vector(FloatType, Vec<f64>),
    /// A text.
    Text(String),
    /// A constant of the manifest.
    Constant(Constant),
}

/// Numbers of a reply under one key: `rows` of `columns`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Actions.
    pub rows: usize,
    /// Numbers of each.
    pub columns: usize,
    /// The numbers, row by row.
    pub values: Vec<f64>,
}

impl Table {
    /// A table from an array of one or two axes; one is a single action.
    ///
    /// # Errors
    /// A sentence if there are more axes or the sizes do not fit.
    pub fn new(shape: &[usize], values: Vec<f64>) -> Result<Self, String> {
        let (rows, columns) = match *shape {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => return Err(format!("an array of shape {shape:?} is no chunk of actions")),
        };
        if rows.checked_mul(columns) != Some(values.len()) {
            return Err(format!("{} values for the shape {shape:?}", values.len()));
        }
        Ok(Self { rows, columns, values })
    }
}

/// What a trial's sticky grippers were told, so that the next chunk goes on from there.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// By channel: the command at each step of the last chunk, and the steps it is held still.
    commands: BTreeMap<usize, Vec<(f64, u32)>>,
    asked: SimTime,
}

/// A manifest, made ready.
#[derive(Clone, Debug)]
pub struct Converter {
    manifest: Manifest,
    states: Vec<Vec<Part>>,
    actions: Vec<Vec<Part>>,
}

impl Converter {
    /// A converter for a manifest that has been loaded, and so checked.
    pub fn new(manifest: Manifest) -> Self {
        let parts = |vectors: &[VectorFacts], channels: &_| {
            vectors
                .iter()
                .map(|vector| vector.parts.iter().map(|part| Part::new(part, channels)).collect())
                .collect()
        };
        let Embodiment { proprioception, actions, .. } = &manifest.embodiment;
        let states = parts(&manifest.states, proprioception);
        let actions = parts(&manifest.actions, actions);
        Self { manifest, states, actions }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the server is asked.
    ///
    /// # Errors
    /// A [`Fault`] of the world, if the observation lacks a camera or a channel, or holds no
    /// rotation where there must be one.
    pub fn request(&self, observation: &Observation) -> Result<Request, Fault> {
        let broke = |message: String| Fault::new(FaultKind::WorldBroke, message);
        let Manifest { embodiment, images, states, server, .. } = &self.manifest;
        let mut entries = Vec::with_capacity(images.len() + states.len() + 1 + server.extra.len());
        for facts in images {
            let camera = &facts.camera;
            let image = observation.images.get(camera);
            let sized = image.filter(|image| {
                embodiment.camera(camera).is_some_and(|stated| {
                    (stated.height, stated.width) == (image.height(), image.width())
                })
            });
            let image = sized.ok_or_else(|| {
                broke(format!("the observation has no image {camera:?} of the stated size"))
            })?;
            entries.push((facts.key.clone(), Item::Picture(Picture::of(image, facts))));
        }
        let row: Vec<f64> = observation.proprioception.iter().map(|&x| f64::from(x)).collect();
        let stated = embodiment.proprioception.len();
        if row.len() != stated || !row.iter().all(|value| value.is_finite()) {
            let got = row.len();
            return Err(broke(format!("the observation has {got} finite values of {stated}")));
        }
        for (facts, parts) in states.iter().zip(&self.states) {
            let mut values = vec![];
            for part in parts {
                part.write(&row, &mut values).map_err(broke)?;
            }
            entries.push((facts.key.clone(), Item::Vector(facts.dtype, values)));
        }
        entries.push((server.prompt.clone(), Item::Text(observation.instruction.to_string())));
        for (key, constant) in &server.extra {
            entries.push((key.clone(), Item::Constant(constant.clone())));
        }
        Ok(Request { time: observation.time, entries })
    }

    /// The chunk that a reply holds, by key.
    ///
    /// # Errors
    /// A [`Fault`] of the policy: a key is missing, a shape is not the stated one, a value is not
    /// finite, is no rotation, or is out of a channel's bounds.
    pub fn chunk(
        &self,
        reply: &BTreeMap<String, Table>,
        asked: SimTime,
        held: &mut Held,
    ) -> Result<ActionChunk, Fault> {
        let malformed = |message: String| Fault::new(FaultKind::MalformedAction, message);
        let Manifest { embodiment, actions: vectors, server, .. } = &self.manifest;
        let mut rows = vec![vec![0.0; embodiment.actions.len()]; server.chunk];
        for (facts, parts) in vectors.iter().zip(&self.actions) {
            let key = &facts.key;
            let table = reply.get(key).ok_or_else(|| {
                let keys: Vec<_> = reply.keys().collect();
                malformed(format!("the reply has no {key:?}; it has {keys:?}"))
            })?;
            let width: usize = parts.iter().map(Part::width).sum();
            if (table.rows, table.columns) != (server.chunk, width) {
                let (rows, columns) = (table.rows, table.columns);
                let stated = server.chunk;
                return Err(malformed(format!(
                    "{key:?} is {rows}×{columns}, the manifest states {stated}×{width}"
                )));
            }
            for (step, (numbers, row)) in table.values.chunks(width).zip(&mut rows).enumerate() {
                let mut rest = numbers;
                for part in parts {
                    let (own, others) = rest.split_at(part.width());
                    rest = others;
                    part.read(own, row)
                        .map_err(|problem| malformed(format!("{key:?} step {step}: {problem}")))?;
                }
            }
        }
        self.stick(&mut rows, asked, held);
        let values: Vec<f32> = rows.into_iter().flatten().map(|value| value as f32).collect();
        let chunk = ActionChunk::from_values(embodiment.actions.len(), values)
            .map_err(|error| malformed(error.to_string()))?;
        chunk.check(&embodiment.actions).map_err(|error| malformed(error.to_string()))?;
        Ok(chunk)
    }

    /// Holds gripper commands as long as the manifest says, across chunks too: how many actions
    /// of the last chunk were executed shows in the time of the observation.
    fn stick(&self, rows: &mut [Vec<f64>], asked: SimTime, held: &mut Held) {
        let passed = (asked - held.asked).as_secs_f64() * self.manifest.embodiment.rate.as_hz();
        let executed = passed.round().max(0.0) as usize;
        for (channel, sticky) in self.actions.iter().flatten().filter_map(Part::sticky) {
            let last = held.commands.get(&channel).and_then(|told| {
                executed.checked_sub(1).and_then(|step| told.get(step).or(told.last())).copied()
            });
            let mut now = last;
            let mut told = Vec::with_capacity(rows.len());
            for row in &mut *rows {
                let wanted = row[channel];
                let next = match now {
                    Some((command, left)) if left > 0 => (command, left - 1),
                    Some((command, _)) if command == wanted => (command, 0),
                    _ => (wanted, sticky - 1),
                };
                row[channel] = next.0;
                told.push(next);
                now = Some(next);
            }
            held.commands.insert(channel, told);
        }
        held.asked = asked;
    }

    /// The numbers of a chunk under the server's keys: the way back of [`Converter::chunk`].
    ///
    /// # Errors
    /// A sentence if the chunk holds no rotation where there must be one.
    pub fn reply(&self, chunk: &ActionChunk) -> Result<Vec<(String, Table)>, String> {
        let mut reply = vec![];
        for (facts, parts) in self.manifest.actions.iter().zip(&self.actions) {
            let mut values = vec![];
            for row in chunk.view().rows() {
                let row: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
                for part in parts {
                    part.write(&row, &mut values)?;
                }
            }
            let columns = parts.iter().map(Part::width).sum();
            reply.push((facts.key.clone(), Table { rows: chunk.steps(), columns, values }));
        }
        Ok(reply)
    }

    /// The proprioception that a request's vectors hold: the way back of [`Converter::request`].
    /// Channels that no vector holds are 0.
    ///
    /// # Errors
    /// A sentence if a vector is missing, has another length or holds no rotation where it must.
    pub fn proprioception(&self, vectors: &BTreeMap<String, Vec<f64>>) -> Result<Vec<f32>, String> {
        let mut row = vec![0.0; self.manifest.embodiment.proprioception.len()];
        for (facts, parts) in self.manifest.states.iter().zip(&self.states) {
            let key = &facts.key;
            let numbers =
                vectors.get(key).ok_or_else(|| format!("the observation has no {key:?}"))?;
            let width: usize = parts.iter().map(Part::width).sum();
            if numbers.len() != width {
                return Err(format!("{key:?} has {} numbers, expected {width}", numbers.len()));
            }
            let mut rest = numbers.as_slice();
            for part in parts {
                let (own, others) = rest.split_at(part.width());
                rest = others;
                part.read(own, &mut row).map_err(|problem| format!("{key:?}: {problem}"))?;
            }
        }
        Ok(row.into_iter().map(|value| value as f32).collect())
    }
}
