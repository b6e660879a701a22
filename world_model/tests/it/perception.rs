//! The networks that measure, held against the reference on narrow random weights.
//!
//! `tools/gen_perception.py` computes in double precision, with the `lpips` package and with I3D by
//! its published architecture; what is left is the rounding of f32 over some twenty layers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rehearse_world_model::ModelError;
use rehearse_world_model::perception::{AlexNet, CLIP, I3d};

/// Largest error allowed, relative to the largest value of the array.
const TOLERANCE: f32 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(name), &Device::Cpu).unwrap()
}

/// The generator's frames, `(frames, 3, height, width)`.
fn drawn(frames: usize, height: usize, width: usize, factor: usize) -> Tensor {
    let mut values = Vec::with_capacity(frames * 3 * height * width);
    for n in 0..frames {
        for c in 0..3 {
            for y in 0..height {
                for x in 0..width {
                    let value = (3 * x + 5 * y + 7 * n + 13 * c + factor * x * y + n * x) % 17;
                    values.push(value as f32 / 8.0 - 1.0);
                }
            }
        }
    }
    Tensor::from_vec(values, (frames, 3, height, width), &Device::Cpu).unwrap()
}

fn check(what: &str, got: &[f32], truth: &Tensor) {
    let truth = truth.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got.len(), truth.len(), "{what}");
    let most = truth.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    for (index, (a, b)) in got.iter().zip(&truth).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * most, "{what}[{index}]: {a} against {b} of {most}");
    }
}

#[test]
fn alexnet_equals_the_reference_layer_by_layer() {
    let network = AlexNet::load(&fixture("lpips.safetensors"), &Device::Cpu).unwrap();
    let cases = tensors("lpips.safetensors");
    let seen = network.features(&drawn(3, 37, 45, 1)).unwrap();
    assert_eq!((seen.len(), network.importance().count()), (5, 5));
    for (place, layer) in seen.iter().enumerate() {
        let name = format!("case.layer{place}");
        check(&name, &layer.flatten_all().unwrap().to_vec1().unwrap(), &cases[&name]);
    }
}

#[test]
fn i3d_equals_the_reference() {
    let network = I3d::load(&fixture("i3d.safetensors"), &Device::Cpu).unwrap();
    let logits = &tensors("i3d.safetensors")["case.logits"];
    let clips = [drawn(16, 12, 20, 1), drawn(16, 12, 20, 2), drawn(16, 9, 301, 1)];
    for (index, clip) in clips.iter().enumerate() {
        let got = network.features(clip).unwrap();
        check(&format!("logits of clip {index}"), &got, &logits.get(index).unwrap());
    }
    // A clip within a longer video, and frames that need no resizing.
    let video = Tensor::cat(&[&clips[1], &clips[0]], 0).unwrap();
    let part = video.narrow(0, CLIP, CLIP).unwrap();
    check("logits of a part", &network.features(&part).unwrap(), &logits.get(0).unwrap());
    let large = part.upsample_bilinear2d(224, 224, false).unwrap();
    let large = Tensor::cat(&[&large, &large], 0).unwrap().narrow(0, CLIP, CLIP).unwrap();
    check("logits at full size", &network.features(&large).unwrap(), &logits.get(0).unwrap());
}

#[test]
fn frames_that_a_network_cannot_see_are_refused() {
    let alexnet = AlexNet::load(&fixture("lpips.safetensors"), &Device::Cpu).unwrap();
    let least = AlexNet::SMALLEST;
    assert!(alexnet.features(&drawn(1, least, least, 1)).is_ok());
    let small = alexnet.features(&drawn(1, 64, least - 1, 1)).unwrap_err();
    assert!(matches!(small, ModelError::Size { .. }), "{small}");
    let i3d = I3d::load(&fixture("i3d.safetensors"), &Device::Cpu).unwrap();
    let short = i3d.features(&drawn(CLIP - 1, 8, 8, 1)).unwrap_err().to_string();
    assert!(short.contains("15") && short.contains("16 frames"), "{short}");
}

/// Writes some tensors and says why they cannot be loaded.
fn refused(
    tensors: &HashMap<String, Tensor>,
    load: impl Fn(&Path) -> Option<ModelError>,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    candle_core::safetensors::save(tensors, &path).unwrap();
    let error = load(&path).unwrap();
    assert!(matches!(error, ModelError::Weights { .. }), "{error}");
    error.to_string()
}

#[test]
fn weights_of_another_network_are_refused_by_tensor() {
    let alexnet = |path: &Path| AlexNet::load(path, &Device::Cpu).err();
    let i3d = |path: &Path| I3d::load(path, &Device::Cpu).err();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();

    let missing = alexnet(&fixture("i3d.safetensors")).unwrap().to_string();
    assert!(missing.contains("features.0.weight") && missing.contains("AlexNet"), "{missing}");
    let missing = i3d(&fixture("lpips.safetensors")).unwrap().to_string();
    assert!(missing.contains("Conv3d_1a_7x7.conv3d.weight"), "{missing}");

    let mut weights = tensors("lpips.safetensors");
    // VGG's first layer.
    weights.insert("features.0.weight".to_owned(), zeros(&[64, 3, 3, 3]));
    let shape = refused(&weights, alexnet);
    assert!(shape.contains("features.0.weight has the shape [64, 3, 3, 3]"), "{shape}");
    assert!(shape.contains("expected [any, 3, 11, 11]"), "{shape}");

    let mut weights = tensors("lpips.safetensors");
    weights.insert("lin2.model.1.weight".to_owned(), zeros(&[1, 9, 1, 1]));
    let shape = refused(&weights, alexnet);
    assert!(shape.contains("lin2.model.1.weight") && shape.contains("[1, 5, 1, 1]"), "{shape}");

    let mut weights = tensors("i3d.safetensors");
    weights.remove("Mixed_4d.b2b.bn.running_var");
    let missing = refused(&weights, i3d);
    assert!(missing.contains("Mixed_4d.b2b.bn.running_var"), "{missing}");

    let mut weights = tensors("i3d.safetensors");
    weights.insert("logits.conv3d.bias".to_owned(), zeros(&[400]));
    let shape = refused(&weights, i3d);
    assert!(shape.contains("logits.conv3d.bias has the shape [400], expected [7]"), "{shape}");

    let folder = tempfile::tempdir().unwrap();
    let pickle = folder.path().join("alex.pth");
    std::fs::write(&pickle, [0x80, 0x02, b'}', b'q', 0, b'.']).unwrap();
    let error = alexnet(&pickle).unwrap().to_string();
    assert!(error.contains("no safetensors file") && error.contains("alex.pth"), "{error}");
}
