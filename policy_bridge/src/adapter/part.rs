//! One part of a vector: numbers of the rig into numbers of the server, and back.

use rehearse_scenarios::embodiment::{Channel, Unit};

use super::manifest::{GripperCommand, Normalization, PartFacts};
use super::rotation::Notation;

/// A part of a vector, with the channels that it is about looked up.
#[derive(Clone, Debug)]
pub(super) struct Part {
    kind: Kind,
    normalization: Normalization,
    /// Numbers in the server's vector.
    width: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Channels, and the server's unit in terms of each channel's.
    Values(Vec<(usize, f64)>),
    Rotation {
        channels: Vec<usize>,
        own: Notation,
        server: Notation,
    },
    Gripper(Gripper),
    Filler(Vec<f64>),
}

#[derive(Clone, Copy, Debug)]
struct Gripper {
    channel: usize,
    flipped: bool,
    own: [f64; 2],
    server: [f64; 2],
    command: GripperCommand,
}

impl Part {
    /// The part that `facts` state; they have been checked against `channels`.
    pub fn new(facts: &PartFacts, channels: &[Channel]) -> Self {
        let place = |name: &String| {
            channels.iter().position(|channel| channel.name == *name).unwrap_or_default()
        };
        match facts {
            PartFacts::Values { channels: names, unit, normalization, .. } => {
                let values = names
                    .iter()
                    .map(|name| (place(name), server_per_own(channels[place(name)].unit, *unit)))
                    .collect::<Vec<_>>();
                let normalization = normalization.clone();
                Self { width: values.len(), kind: Kind::Values(values), normalization }
            }
            PartFacts::Rotation { channels: names, notation, normalization, .. } => {
                let places: Vec<usize> = names.iter().map(place).collect();
                let rotation = places.first().and_then(|&first| channels[first].rotation);
                let own = rotation.map_or(*notation, Notation::of_embodiment);
                let kind = Kind::Rotation { channels: places, own, server: *notation };
                Self { width: notation.width(), kind, normalization: normalization.clone() }
            }
            PartFacts::Gripper { channel, polarity, range, command, .. } => {
                let channel = place(channel);
                let stated = &channels[channel];
                let kind = Kind::Gripper(Gripper {
                    channel,
                    flipped: stated.gripper != Some(*polarity),
                    own: stated.bounds.unwrap_or(*range),
                    server: *range,
                    command: *command,
                });
                Self { width: 1, kind, normalization: Normalization::None }
            }
            PartFacts::Filler { values } => {
                let kind = Kind::Filler(values.clone());
                Self { width: values.len(), kind, normalization: Normalization::None }
            }
        }
    }

    /// Numbers in the server's vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The channel and the least hold of a gripper whose commands stick.
    pub fn sticky(&self) -> Option<(usize, u32)> {
        match self.kind {
            Kind::Gripper(Gripper {
                channel,
                command: GripperCommand::Binary { sticky, .. },
                ..
            }) if sticky > 1 => Some((channel, sticky)),
            _ => None,
        }
    }

    /// The server's numbers for one row of the rig's.
    ///
    /// # Errors
    /// A sentence if the row holds no rotation where there must be one.
    pub fn write(&self, row: &[f64], out: &mut Vec<f64>) -> Result<(), String> {
        let start = out.len();
        match &self.kind {
            Kind::Values(values) => {
                out.extend(values.iter().map(|&(channel, scale)| row[channel] * scale));
            }
            Kind::Rotation { channels, own, server } => {
                let numbers: Vec<f64> = channels.iter().map(|&channel| row[channel]).collect();
                out.extend(server.write(own.read(&numbers).map_err(|error| error.to_string())?));
            }
            Kind::Gripper(gripper) => {
                out.push(gripper.decide(map(
                    row[gripper.channel],
                    gripper.own,
                    gripper.server,
                    gripper.flipped,
                )));
            }
            Kind::Filler(values) => out.extend(values),
        }
        for (index, value) in out[start..].iter_mut().enumerate() {
            *value = self.normalize(index, *value);
        }
        Ok(())
    }

    /// Writes what the server's numbers mean into one row of the rig's.
    ///
    /// # Errors
    /// A sentence if the numbers hold no rotation where there must be one.
    pub fn read(&self, numbers: &[f64], row: &mut [f64]) -> Result<(), String> {
        let plain: Vec<f64> =
            numbers.iter().enumerate().map(|(index, &value)| self.restore(index, value)).collect();
        match &self.kind {
            Kind::Values(values) => {
                for (&(channel, scale), value) in values.iter().zip(plain) {
                    row[channel] = value / scale;
                }
            }
            Kind::Rotation { channels, own, server } => {
                let rotation = server.read(&plain).map_err(|error| error.to_string())?;
                // An action is written the short way, whatever sign the server's has.
                let shortest =
                    if rotation[3] < 0.0 { rotation.map(|part| -part) } else { rotation };
                for (&channel, value) in channels.iter().zip(own.write(shortest)) {
                    row[channel] = value;
                }
            }
            Kind::Gripper(gripper) => {
                let value = gripper.decide(plain.first().copied().unwrap_or_default());
                row[gripper.channel] = map(value, gripper.server, gripper.own, gripper.flipped);
            }
            Kind::Filler(_) => {}
        }
        Ok(())
    }

    fn normalize(&self, index: usize, value: f64) -> f64 {
        match &self.normalization {
            Normalization::None => value,
            Normalization::MinMax { min: low, max: high }
            | Normalization::Quantiles { q01: low, q99: high } => {
                2.0 * (value - low[index]) / (high[index] - low[index]) - 1.0
            }
            Normalization::MeanStd { mean, std } => (value - mean[index]) / std[index],
        }
    }

    fn restore(&self, index: usize, value: f64) -> f64 {
        match &self.normalization {
            Normalization::None => value,
            Normalization::MinMax { min: low, max: high }
            | Normalization::Quantiles { q01: low, q99: high } => {
                f64::midpoint(value, 1.0) * (high[index] - low[index]) + low[index]
            }
            Normalization::MeanStd { mean, std } => value * std[index] + mean[index],
        }
    }
}

impl Gripper {
    /// A value in the server's range as it is meant there. Beyond its ends a gripper is as open
    /// or as closed as at them. NaN stays, to be refused.
    fn decide(&self, value: f64) -> f64 {
        let [low, high] = self.server;
        match self.command {
            GripperCommand::Continuous => value.clamp(low, high),
            GripperCommand::Binary { .. } if value.is_nan() => value,
            GripperCommand::Binary { threshold, .. } if value >= threshold => high,
            GripperCommand::Binary { .. } => low,
        }
    }
}

fn map(value: f64, [low, high]: [f64; 2], [low_to, high_to]: [f64; 2], flipped: bool) -> f64 {
    let share = (value - low) / (high - low);
    let share = if flipped { 1.0 - share } else { share };
    low_to + share * (high_to - low_to)
}

fn server_per_own(own: Option<Unit>, server: Unit) -> f64 {
    match (own, server) {
        (Some(Unit::Radian), Unit::Degree) => 180.0 / std::f64::consts::PI,
        (Some(Unit::Degree), Unit::Radian) => std::f64::consts::PI / 180.0,
        _ => 1.0,
    }
}
