//! Rotations from one notation into another, by way of quaternions.
//!
//! Quaternions keep their sign on the way: `q` and `-q` are the same rotation, but a policy that
//! was trained on one of them and is shown the other fails, so [`Antipode`] says which is meant.

use rehearse_scenarios::embodiment::Rotation;
use serde::{Deserialize, Serialize};

/// A rotation as a unit quaternion, scalar last: `[x, y, z, w]`.
pub type Quaternion = [f64; 4];

/// How a server of another project writes a rotation. Every choice is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Notation {
    /// Roll, pitch, yaw.
    RollPitchYaw {
        /// About which axes.
        order: EulerOrder,
    },
    /// Rotation vector: axis times angle.
    AxisAngle {
        /// Which of the two vectors that mean the same.
        antipode: Antipode,
    },
    /// Quaternion, scalar last.
    QuaternionXyzw {
        /// Which of the two quaternions that mean the same.
        antipode: Antipode,
    },
    /// Quaternion, scalar first.
    QuaternionWxyz {
        /// Which of the two quaternions that mean the same.
        antipode: Antipode,
    },
    /// Two columns or rows of the rotation matrix.
    SixD {
        /// Which, and in what order.
        layout: SixDLayout,
    },
}

/// The axes of roll, pitch and yaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EulerOrder {
    /// About the moving axes x, then y, then z: `Rx · Ry · Rz`. SciPy's `XYZ`.
    IntrinsicXyz,
    /// About the fixed axes x, then y, then z: `Rz · Ry · Rx`. SciPy's `xyz`, ROS, robosuite.
    ExtrinsicXyz,
}

/// Which of two notations of the same rotation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Antipode {
    /// The one of at most half a turn: a quaternion with scalar ≥ 0, an angle in [0, π].
    Shortest,
    /// The one that the other side's quaternion has, angles up to a whole turn (robosuite's and
    /// LIBERO's `quat2axisangle`). Only where the other side is a quaternion.
    Keep,
}

/// Which six numbers of a rotation matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SixDLayout {
    /// First column, then second column.
    Columns,
    /// First row, then second row (`PyTorch3D`).
    Rows,
    /// The first two columns, row by row: `r00 r01 r10 r11 r20 r21`.
    ColumnsInterleaved,
}

/// Numbers that are no rotation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{values:?} is no rotation: {problem}")]
pub struct NoRotation {
    /// What was given.
    pub values: Vec<f64>,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// How far from 1 the norm of a quaternion may be before it is taken for something else.
const NORM_TOLERANCE: f64 = 1e-2;

impl Notation {
    /// Numbers in the notation.
    pub const fn width(self) -> usize {
        match self {
            Self::RollPitchYaw { .. } | Self::AxisAngle { .. } => 3,
            Self::QuaternionXyzw { .. } | Self::QuaternionWxyz { .. } => 4,
            Self::SixD { .. } => 6,
        }
    }

    /// What decides between two ways to write the same rotation, where there are two.
    pub const fn antipode(self) -> Option<Antipode> {
        match self {
            Self::AxisAngle { antipode }
            | Self::QuaternionXyzw { antipode }
            | Self::QuaternionWxyz { antipode } => Some(antipode),
            Self::RollPitchYaw { .. } | Self::SixD { .. } => None,
        }
    }

    /// The notation that an embodiment's channels are in; see [`Rotation`].
    pub const fn of_embodiment(rotation: Rotation) -> Self {
        let antipode = Antipode::Keep;
        match rotation {
            Rotation::RollPitchYaw => Self::RollPitchYaw { order: EulerOrder::IntrinsicXyz },
            // A rotation vector of an embodiment is the shortest: it has no sign to keep.
            Rotation::AxisAngle => Self::AxisAngle { antipode: Antipode::Shortest },
            Rotation::QuaternionXyzw => Self::QuaternionXyzw { antipode },
            Rotation::QuaternionWxyz => Self::QuaternionWxyz { antipode },
            Rotation::SixD => Self::SixD { layout: SixDLayout::Columns },
        }
    }

    /// Reads a rotation.
    ///
    /// # Errors
    /// [`NoRotation`] if there are too few numbers, or they are no rotation: not finite, a
    /// quaternion far from length 1, two columns that are parallel.
    pub fn read(self, values: &[f64]) -> Result<Quaternion, NoRotation> {
        let wrong = |problem| NoRotation { values: values.to_vec(), problem };
        if values.len() != self.width() || !values.iter().all(|value| value.is_finite()) {
            return Err(wrong("wrong count, or not finite"));
        }
        match self {
            Self::RollPitchYaw { order } => {
                let [x, y, z] = three(values);
                let axis = |angle: f64, axis: usize| {
                    let mut q = [0.0, 0.0, 0.0, (angle / 2.0).cos()];
                    q[axis] = (angle / 2.0).sin();
                    q
                };
                let (x, y, z) = (axis(x, 0), axis(y, 1), axis(z, 2));
                Ok(match order {
                    EulerOrder::IntrinsicXyz => product(product(x, y), z),
                    EulerOrder::ExtrinsicXyz => product(product(z, y), x),
                })
            }
            Self::AxisAngle { .. } => {
                let [x, y, z] = three(values);
                let angle = norm(&[x, y, z]);
                // sin(a/2)/a, which near 0 is 1/2 - a²/48.
                let scale = if angle < 1e-6 {
                    0.5 - angle * angle / 48.0
                } else {
                    (angle / 2.0).sin() / angle
                };
                Ok([x * scale, y * scale, z * scale, (angle / 2.0).cos()])
            }
            Self::QuaternionXyzw { .. } => unit(four(values)).ok_or_else(|| wrong(NOT_UNIT)),
            Self::QuaternionWxyz { .. } => {
                let [w, x, y, z] = four(values);
                unit([x, y, z, w]).ok_or_else(|| wrong(NOT_UNIT))
            }
            Self::SixD { layout } => {
                from_six(values, layout).ok_or_else(|| wrong("its two directions are parallel"))
            }
        }
    }

    /// Writes a rotation.
    pub fn write(self, rotation: Quaternion) -> Vec<f64> {
        let signed = match self.antipode() {
            Some(Antipode::Shortest) | None if rotation[3] < 0.0 => rotation.map(|part| -part),
            Some(_) | None => rotation,
        };
        let [x, y, z, w] = signed;
        match self {
            Self::RollPitchYaw { order } => euler(matrix(rotation), order).to_vec(),
            Self::AxisAngle { .. } => {
                let sine = norm(&[x, y, z]);
                let angle = 2.0 * sine.atan2(w);
                // At no turn the limit is 2; a whole turn has no axis and is, as in robosuite, none.
                let scale = match sine < 1e-12 {
                    true if w > 0.0 => 2.0,
                    true => 0.0,
                    false => angle / sine,
                };
                vec![x * scale, y * scale, z * scale]
            }
            Self::QuaternionXyzw { .. } => vec![x, y, z, w],
            Self::QuaternionWxyz { .. } => vec![w, x, y, z],
            Self::SixD { layout } => {
                let [[a, b, c], [d, e, f], [g, h, _]] = matrix(rotation);
                match layout {
                    SixDLayout::Columns => vec![a, d, g, b, e, h],
                    SixDLayout::Rows => vec![a, b, c, d, e, f],
                    SixDLayout::ColumnsInterleaved => vec![a, b, d, e, g, h],
                }
            }
        }
    }
}

const NOT_UNIT: &str = "its length is not 1";

fn three(values: &[f64]) -> [f64; 3] {
    std::array::from_fn(|index| values.get(index).copied().unwrap_or_default())
}

fn four(values: &[f64]) -> [f64; 4] {
    std::array::from_fn(|index| values.get(index).copied().unwrap_or_default())
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn unit(q: Quaternion) -> Option<Quaternion> {
    let length = norm(&q);
    ((length - 1.0).abs() <= NORM_TOLERANCE).then(|| q.map(|part| part / length))
}

/// The Hamilton product `a · b`: first `b`, then `a`.
fn product([ax, ay, az, aw]: Quaternion, [bx, by, bz, bw]: Quaternion) -> Quaternion {
    [
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ]
}

/// The rotation matrix, row by row.
fn matrix([x, y, z, w]: Quaternion) -> [[f64; 3]; 3] {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
        [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
        [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

/// Roll, pitch, yaw; at a pitch of ±90° the last turned angle is set to 0.
fn euler(m: [[f64; 3]; 3], order: EulerOrder) -> [f64; 3] {
    const LOCKED: f64 = 1e-9;
    let (sine, cosine) = match order {
        EulerOrder::IntrinsicXyz => (m[0][2], m[0][0].hypot(m[0][1])),
        EulerOrder::ExtrinsicXyz => (-m[2][0], m[0][0].hypot(m[1][0])),
    };
    let pitch = sine.atan2(cosine);
    match order {
        EulerOrder::IntrinsicXyz if cosine < LOCKED => [m[2][1].atan2(m[1][1]), pitch, 0.0],
        EulerOrder::ExtrinsicXyz if cosine < LOCKED => [(-m[1][2]).atan2(m[1][1]), pitch, 0.0],
        EulerOrder::IntrinsicXyz => [(-m[1][2]).atan2(m[2][2]), pitch, (-m[0][1]).atan2(m[0][0])],
        EulerOrder::ExtrinsicXyz => [m[2][1].atan2(m[2][2]), pitch, m[1][0].atan2(m[0][0])],
    }
}

/// Gram–Schmidt over the two directions (Zhou et al. 2019, eq. 15), then Shepperd's method.
fn from_six(v: &[f64], layout: SixDLayout) -> Option<Quaternion> {
    let pick = |places: [usize; 3]| places.map(|place| v.get(place).copied().unwrap_or_default());
    let (first, second) = match layout {
        SixDLayout::Columns | SixDLayout::Rows => (pick([0, 1, 2]), pick([3, 4, 5])),
        SixDLayout::ColumnsInterleaved => (pick([0, 2, 4]), pick([1, 3, 5])),
    };
    let a = direction(first)?;
    let along: f64 = a.iter().zip(second).map(|(a, b)| a * b).sum();
    let b = direction(std::array::from_fn(|i| second[i] - along * a[i]))?;
    let c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let columns = [[a[0], b[0], c[0]], [a[1], b[1], c[1]], [a[2], b[2], c[2]]];
    let transposed = std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]));
    Some(from_matrix(if layout == SixDLayout::Rows { transposed } else { columns }))
}

fn direction(v: [f64; 3]) -> Option<[f64; 3]> {
    let length = norm(&v);
    (length > 1e-6).then(|| v.map(|part| part / length))
}

/// Shepperd's method: divides by the largest of the four, so nothing is lost near half a turn.
fn from_matrix(m: [[f64; 3]; 3]) -> Quaternion {
    let trace = m[0][0] + m[1][1] + m[2][2];
    let quarter = |largest: f64| 0.5 / largest.sqrt();
    if trace > 0.0 {
        let s = quarter(trace + 1.0);
        let w = 0.25 / s;
        return [(m[2][1] - m[1][2]) * s, (m[0][2] - m[2][0]) * s, (m[1][0] - m[0][1]) * s, w];
    }
    let i = if m[0][0] >= m[1][1] && m[0][0] >= m[2][2] {
        0
    } else if m[1][1] >= m[2][2] {
        1
    } else {
        2
    };
    let (j, k) = ((i + 1) % 3, (i + 2) % 3);
    let s = quarter(1.0 + m[i][i] - m[j][j] - m[k][k]);
    let mut q = [0.0; 4];
    q[i] = 0.25 / s;
    q[j] = (m[j][i] + m[i][j]) * s;
    q[k] = (m[k][i] + m[i][k]) * s;
    q[3] = (m[k][j] - m[j][k]) * s;
    q
}
