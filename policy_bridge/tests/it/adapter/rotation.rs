//! Rotations: every notation against SciPy, and any notation back to where it came from.

use proptest::prelude::*;
use rehearse_policy_bridge::adapter::{Antipode, EulerOrder, Notation, Quaternion, SixDLayout};

use super::fake;

const ALL: [Notation; 10] = [
    Notation::RollPitchYaw { order: EulerOrder::IntrinsicXyz },
    Notation::RollPitchYaw { order: EulerOrder::ExtrinsicXyz },
    Notation::AxisAngle { antipode: Antipode::Shortest },
    Notation::AxisAngle { antipode: Antipode::Keep },
    Notation::QuaternionXyzw { antipode: Antipode::Shortest },
    Notation::QuaternionXyzw { antipode: Antipode::Keep },
    Notation::QuaternionWxyz { antipode: Antipode::Keep },
    Notation::SixD { layout: SixDLayout::Columns },
    Notation::SixD { layout: SixDLayout::Rows },
    Notation::SixD { layout: SixDLayout::ColumnsInterleaved },
];

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// As [`close`], for angles: a whole turn is no difference.
fn close_turned(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    let whole = std::f64::consts::TAU;
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| ((a - b) / whole - ((a - b) / whole).round()).abs() <= tolerance)
}

/// Whether two quaternions are the same rotation.
fn same(a: Quaternion, b: Quaternion) -> bool {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    (dot.abs() - 1.0).abs() < 1e-9
}

#[test]
fn every_notation_is_scipys() {
    let cases = fake::json("parity.json");
    let notations = [
        ("xyzw", Notation::QuaternionXyzw { antipode: Antipode::Shortest }),
        ("axis_angle", Notation::AxisAngle { antipode: Antipode::Shortest }),
        ("intrinsic_xyz", Notation::RollPitchYaw { order: EulerOrder::IntrinsicXyz }),
        ("extrinsic_xyz", Notation::RollPitchYaw { order: EulerOrder::ExtrinsicXyz }),
        ("columns", Notation::SixD { layout: SixDLayout::Columns }),
        ("rows", Notation::SixD { layout: SixDLayout::Rows }),
        ("columns_interleaved", Notation::SixD { layout: SixDLayout::ColumnsInterleaved }),
    ];
    for (index, case) in cases["rotations"].as_array().unwrap().iter().enumerate() {
        let numbers = |name: &str| -> Vec<f64> {
            case[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let quaternion = notations[0].1.read(&numbers("xyzw")).unwrap();
        for (name, notation) in notations {
            let expected = numbers(name);
            let written = notation.write(quaternion);
            let euler = matches!(notation, Notation::RollPitchYaw { .. });
            let same_numbers = if euler { close_turned } else { close };
            // 1e-7: near half a turn SciPy's angles go through an arc cosine.
            assert!(
                same_numbers(&written, &expected, 1e-7),
                "case {index}, {name}: {written:?}, SciPy {expected:?}"
            );
            let read = notation.read(&expected).unwrap();
            assert!(same(read, quaternion), "case {index}, {name}: {read:?}");
        }
    }
}

#[test]
fn a_kept_antipode_is_robosuites() {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let keep = Notation::AxisAngle { antipode: Antipode::Keep };
    let shortest = Notation::AxisAngle { antipode: Antipode::Shortest };
    // 90° about z, as the quaternion with a negative scalar: 270° about -z.
    let negative = [0.0, 0.0, -half, -half];
    assert!(close(&keep.write(negative), &[0.0, 0.0, -1.5 * std::f64::consts::PI], 1e-12));
    assert!(close(&shortest.write(negative), &[0.0, 0.0, 0.5 * std::f64::consts::PI], 1e-12));
    // A whole turn has no axis.
    assert_eq!(keep.write([0.0, 0.0, 0.0, -1.0]), [0.0; 3]);
    assert_eq!(shortest.write([0.0, 0.0, 0.0, 1.0]), [0.0; 3]);
    let wxyz = Notation::QuaternionWxyz { antipode: Antipode::Shortest };
    assert_eq!(wxyz.write([0.0, 0.0, -half, -half]), [half, 0.0, 0.0, half]);
}

#[test]
fn poles_of_pitch_come_back() {
    for order in [EulerOrder::IntrinsicXyz, EulerOrder::ExtrinsicXyz] {
        let notation = Notation::RollPitchYaw { order };
        for pitch in [1.0, -1.0] {
            let rotation = notation.read(&[0.3, pitch * std::f64::consts::FRAC_PI_2, 0.4]).unwrap();
            assert!(same(notation.read(&notation.write(rotation)).unwrap(), rotation), "{order:?}");
        }
    }
}

#[test]
fn what_is_no_rotation_is_refused() {
    let xyzw = Notation::QuaternionXyzw { antipode: Antipode::Keep };
    assert!(xyzw.read(&[0.0, 0.0, 0.0, 0.0]).is_err());
    assert!(xyzw.read(&[0.0, 0.0, 0.0, 1.2]).is_err());
    assert!(xyzw.read(&[0.0, 0.0, 1.0]).is_err());
    assert!(xyzw.read(&[0.0, 0.0, f64::NAN, 1.0]).is_err());
    let six = Notation::SixD { layout: SixDLayout::Columns };
    assert!(six.read(&[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]).is_err());
}

fn unit_quaternion() -> impl Strategy<Value = Quaternion> {
    prop::array::uniform4(-1.0..1.0f64)
        .prop_filter("no direction", |q| q.iter().map(|x| x * x).sum::<f64>() > 1e-3)
        .prop_map(|q| {
            let norm = q.iter().map(|x| x * x).sum::<f64>().sqrt();
            q.map(|x| x / norm)
        })
}

proptest! {
    #[test]
    fn every_notation_comes_back(rotation in unit_quaternion()) {
        for notation in ALL {
            let written = notation.write(rotation);
            prop_assert_eq!(written.len(), notation.width());
            let read = notation.read(&written).unwrap();
            prop_assert!(same(read, rotation), "{:?}: {:?} from {:?}", notation, read, rotation);
            if notation.antipode() == Some(Antipode::Keep) {
                prop_assert!(close(&read, &rotation, 1e-9), "{:?} lost its sign", notation);
            }
        }
    }

    #[test]
    fn six_numbers_are_straightened(rotation in unit_quaternion(), scale in 0.1..10.0f64, lean in -2.0..2.0f64) {
        // Columns of any length, the second leaning on the first, are the same rotation.
        let notation = Notation::SixD { layout: SixDLayout::Columns };
        let mut six = notation.write(rotation);
        for index in 0..3 {
            six[index + 3] = scale * six[index + 3] + lean * six[index];
            six[index] *= scale;
        }
        prop_assert!(same(notation.read(&six).unwrap(), rotation));
    }
}
