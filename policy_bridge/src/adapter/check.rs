//! Whether a manifest holds together: every convention against what the embodiment states.

use std::collections::BTreeSet;
use std::fmt::Debug;

use rehearse_scenarios::embodiment::{Channel, ChannelKind, Unit};

use super::error::Conflict;
use super::manifest::{
    Dialect, GripperCommand, ImageFacts, Manifest, Memory, Normalization, PartFacts, Resize,
    ServerFacts, VectorFacts,
};
use super::rotation::{Antipode, Notation};

impl Manifest {
    /// Checks the manifest on its own.
    pub(super) fn validate(&self) -> Result<(), Conflict> {
        if self.format != 1 {
            return Err(Conflict::new("format", format!("it is {}, this reads 1", self.format)));
        }
        self.embodiment
            .validate()
            .map_err(|error| Conflict::new("embodiment", error.to_string()))?;
        self.server.validate(self.embodiment.rate.as_hz())?;
        let mut keys = BTreeSet::from([self.server.prompt.as_str()]);
        for (index, image) in self.images.iter().enumerate() {
            let at = format!("image[{index}]");
            distinct(&mut keys, &at, &image.key)?;
            self.check_image(&at, image)?;
        }
        for (index, state) in self.states.iter().enumerate() {
            let at = format!("state[{index}]");
            distinct(&mut keys, &at, &state.key)?;
            check_parts(&at, state, &self.embodiment.proprioception, false)?;
        }
        for key in self.server.extra.keys() {
            distinct(&mut keys, "server.extra", key)?;
        }
        let mut keys = BTreeSet::new();
        let mut moved: Vec<&str> = vec![];
        for (index, action) in self.actions.iter().enumerate() {
            let at = format!("action[{index}]");
            distinct(&mut keys, &at, &action.key)?;
            moved.extend(check_parts(&at, action, &self.embodiment.actions, true)?);
        }
        for channel in &self.embodiment.actions {
            match moved.iter().filter(|name| **name == channel.name).count() {
                1 => {}
                count => {
                    let name = &channel.name;
                    let problem = format!("channel {name:?} is set {count} times, must be once");
                    return Err(Conflict::new("action", problem));
                }
            }
        }
        Ok(())
    }

    fn check_image(&self, at: &str, image: &ImageFacts) -> Result<(), Conflict> {
        let &ImageFacts { height, width, centre_crop, resize, .. } = image;
        let camera = self.embodiment.camera(&image.camera).ok_or_else(|| {
            let name = &image.camera;
            Conflict::new(format!("{at}.camera"), format!("the embodiment has no {name:?}"))
        })?;
        if !(centre_crop > 0.0 && centre_crop <= 1.0) {
            let problem = format!("{centre_crop} is not in (0, 1]");
            return Err(Conflict::new(format!("{at}.centre_crop"), problem));
        }
        if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
            let problem = format!("{height}×{width} is not between 1 and 4096 pixels a side");
            return Err(Conflict::new(at, problem));
        }
        let same = (camera.height, camera.width) == (height, width);
        if resize == Resize::Exact && !(same && centre_crop == 1.0) {
            let problem = format!(
                "\"exact\" needs the camera's {}×{} uncropped, got {height}×{width} of {centre_crop}",
                camera.height, camera.width
            );
            return Err(Conflict::new(format!("{at}.resize"), problem));
        }
        Ok(())
    }
}

fn distinct<'a>(keys: &mut BTreeSet<&'a str>, at: &str, key: &'a str) -> Result<(), Conflict> {
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(Conflict::new(format!("{at}.key"), format!("{key:?} is no key")));
    }
    if keys.insert(key) {
        return Ok(());
    }
    Err(Conflict::new(format!("{at}.key"), format!("{key:?} is used twice")))
}

impl ServerFacts {
    fn validate(&self, rate: f64) -> Result<(), Conflict> {
        let conflict =
            |key: &str, problem: String| Err(Conflict::new(format!("server.{key}"), problem));
        if self.rate != rate {
            return conflict(
                "rate",
                format!("{} Hz against the embodiment's {rate} Hz", self.rate),
            );
        }
        if self.chunk == 0 || self.max_batch == 0 || self.timeout_ms == 0 {
            return conflict("chunk", "chunk, max_batch and timeout_ms are at least 1".to_owned());
        }
        let batches = self.dialect == Dialect::GrootN16;
        // Requests of several trials are sent together where each has a connection of its own.
        let connections = matches!(
            self.dialect,
            Dialect::Openpi | Dialect::Roboarena | Dialect::VllmOmni | Dialect::VlaEval
        );
        if self.max_batch > 1 && !(batches || connections) {
            let problem = format!("{:?} takes one trial in a request", self.dialect);
            return conflict("max_batch", problem);
        }
        if self.max_batch > 1 && self.memory == Memory::Trial {
            return conflict("max_batch", "one trial at a time cannot be batched".to_owned());
        }
        if self.memory == Memory::Session && !connections {
            let problem = format!("{:?} has no sessions", self.dialect);
            return conflict("memory", problem);
        }
        Ok(())
    }
}

/// Checks a vector's parts and returns the channels that they are about.
fn check_parts<'a>(
    at: &str,
    vector: &'a VectorFacts,
    channels: &[Channel],
    moves: bool,
) -> Result<Vec<&'a str>, Conflict> {
    let mut named: Vec<&str> = vec![];
    if vector.parts.is_empty() {
        return Err(Conflict::new(format!("{at}.part"), "there is none"));
    }
    for (index, part) in vector.parts.iter().enumerate() {
        let at = format!("{at}.part[{index}]");
        let names = match part {
            PartFacts::Values { channels, .. } | PartFacts::Rotation { channels, .. } => {
                channels.iter().map(String::as_str).collect()
            }
            PartFacts::Gripper { channel, .. } => vec![channel.as_str()],
            PartFacts::Filler { values } => {
                if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
                    return Err(Conflict::new(format!("{at}.values"), "must be finite numbers"));
                }
                vec![]
            }
        };
        let found = names
            .iter()
            .map(|&name| {
                channels.iter().find(|channel| channel.name == name).ok_or_else(|| {
                    let list = if moves { "actions" } else { "proprioception" };
                    let problem = format!("the embodiment's {list} have no {name:?}");
                    Conflict::new(format!("{at}.channels"), problem)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        check_part(&at, part, &found, moves)?;
        named.extend(names);
    }
    Ok(named)
}

fn check_part(
    at: &str,
    part: &PartFacts,
    channels: &[&Channel],
    moves: bool,
) -> Result<(), Conflict> {
    match part {
        PartFacts::Values { unit, reference, frame, normalization, .. } => {
            for channel in channels {
                let name = &channel.name;
                let stated = require(at, name, "unit", channel.unit)?;
                let turns = |unit| matches!(unit, Unit::Radian | Unit::Degree);
                if stated != *unit && !(turns(stated) && turns(*unit)) {
                    return Err(against(at, "unit", unit, name, &stated));
                }
                if matches!(channel.kind, Some(ChannelKind::Gripper)) {
                    let problem = format!("{name:?} is a gripper: use kind = \"gripper\"");
                    return Err(Conflict::new(format!("{at}.kind"), problem));
                }
                if channel.rotation.is_some() {
                    let problem =
                        format!("{name:?} is part of a rotation: use kind = \"rotation\"");
                    return Err(Conflict::new(format!("{at}.kind"), problem));
                }
                if moves || channel.reference.is_some() {
                    same(at, "reference", reference, name, channel.reference)?;
                }
                same_frame(at, frame.as_deref(), channel)?;
            }
            check_normalization(at, normalization, channels.len())
        }
        PartFacts::Rotation { notation, reference, frame, normalization, .. } => {
            let [first, ..] = channels else {
                return Err(Conflict::new(format!("{at}.channels"), "there is none"));
            };
            let rotation = require(at, &first.name, "rotation", first.rotation)?;
            for channel in channels {
                let name = &channel.name;
                same(at, "rotation", &rotation, name, channel.rotation)?;
                if moves || channel.reference.is_some() {
                    same(at, "reference", reference, name, channel.reference)?;
                }
                same_frame(at, frame.as_deref(), channel)?;
            }
            let own = Notation::of_embodiment(rotation);
            if own.width() != channels.len() {
                let problem =
                    format!("{rotation:?} has {} numbers, got {}", own.width(), channels.len());
                return Err(Conflict::new(format!("{at}.channels"), problem));
            }
            let quaternion =
                matches!(own, Notation::QuaternionXyzw { .. } | Notation::QuaternionWxyz { .. });
            if !moves && notation.antipode() == Some(Antipode::Keep) && !quaternion {
                let problem = format!("\"keep\" needs a quaternion to keep, got {rotation:?}");
                return Err(Conflict::new(format!("{at}.notation.antipode"), problem));
            }
            check_normalization(at, normalization, notation.width())
        }
        PartFacts::Gripper { range, reference, command, .. } => {
            let [channel] = channels else {
                return Err(Conflict::new(format!("{at}.channel"), "must be one"));
            };
            let name = &channel.name;
            require(at, name, "gripper (its polarity)", channel.gripper)?;
            require(at, name, "bounds", channel.bounds)?;
            if moves || channel.reference.is_some() {
                same(at, "reference", reference, name, channel.reference)?;
            }
            let [low, high] = *range;
            if !(low.is_finite() && high.is_finite() && low < high) {
                let problem = format!("[{low}, {high}] is not finite and in order");
                return Err(Conflict::new(format!("{at}.range"), problem));
            }
            if let GripperCommand::Binary { threshold, sticky } = command
                && (!(low..=high).contains(threshold) || *sticky == 0)
            {
                let problem = format!(
                    "threshold {threshold} must be in [{low}, {high}] and sticky {sticky} at least 1"
                );
                return Err(Conflict::new(format!("{at}.command"), problem));
            }
            Ok(())
        }
        PartFacts::Filler { .. } => Ok(()),
    }
}

fn require<T>(at: &str, channel: &str, fact: &str, stated: Option<T>) -> Result<T, Conflict> {
    stated.ok_or_else(|| {
        Conflict::new(at, format!("channel {channel:?} of the embodiment does not state {fact}"))
    })
}

fn same<T: PartialEq + Debug>(
    at: &str,
    fact: &str,
    server: &T,
    channel: &str,
    stated: Option<T>,
) -> Result<(), Conflict> {
    let stated = require(at, channel, fact, stated)?;
    if stated == *server {
        return Ok(());
    }
    Err(against(at, fact, server, channel, &stated))
}

fn against<T: Debug>(at: &str, fact: &str, server: &T, channel: &str, stated: &T) -> Conflict {
    let problem =
        format!("the server has {server:?}, channel {channel:?} of the embodiment {stated:?}");
    Conflict::new(format!("{at}.{fact}"), problem)
}

fn same_frame(at: &str, server: Option<&str>, channel: &Channel) -> Result<(), Conflict> {
    let stated = channel.frame.as_deref();
    if stated.is_none() || stated == server {
        return Ok(());
    }
    Err(against(at, "frame", &server, &channel.name, &stated))
}

fn check_normalization(
    at: &str,
    normalization: &Normalization,
    width: usize,
) -> Result<(), Conflict> {
    let at = format!("{at}.normalization");
    let (first, second, spread) = match normalization {
        Normalization::None => return Ok(()),
        Normalization::MinMax { min, max } => (min, max, false),
        Normalization::Quantiles { q01, q99 } => (q01, q99, false),
        Normalization::MeanStd { mean, std } => (mean, std, true),
    };
    if first.len() != width || second.len() != width {
        let problem = format!("{width} values have {} and {} numbers", first.len(), second.len());
        return Err(Conflict::new(at, problem));
    }
    for (index, (a, b)) in first.iter().zip(second).enumerate() {
        let positive = if spread { *b > 0.0 } else { a < b };
        if !(a.is_finite() && b.is_finite() && positive) {
            let problem = format!("value {index} has {a} and {b}, which span nothing");
            return Err(Conflict::new(at, problem));
        }
    }
    Ok(())
}
