//! Muon for hidden matrices, `AdamW` for the rest, and the moving average of both.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use crate::train::config::StageConfig;
use crate::train::schedule::learning_rate;

const ADAM_BETAS: [f64; 2] = [0.9, 0.99];
const ADAM_EPSILON: f64 = 1e-8;
const MUON_MOMENTUM: f64 = 0.95;
/// Scales an orthogonal update to the size that `AdamW`'s updates have (Liu et al., "Muon is
/// scalable for LLM training", eq. 4).
const MUON_SCALE: f64 = 0.2;
/// Newton–Schulz coefficients and rounds of the reference implementation
/// (KellerJordan/Muon, `muon.py`).
const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];
const NEWTON_SCHULZ_ROUNDS: usize = 5;

/// The state of one stage's gradient descent.
pub struct Optimizer {
    parameters: Vec<Parameter>,
    stage: StageConfig,
    step: usize,
}

struct Parameter {
    name: String,
    var: Var,
    rule: Rule,
    average: Tensor,
}

enum Rule {
    Adam { mean: Tensor, square: Tensor },
    Muon { momentum: Tensor },
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stepped {
    /// The norm of the gradient before it was cut.
    Moved {
        /// Norm over all parameters.
        norm: f64,
    },
    /// The gradient was not finite, and nothing was changed.
    NotFinite,
}

impl Optimizer {
    /// For `parameters` by name, at step 0.
    ///
    /// # Errors
    /// A tensor error if the state cannot be set up.
    pub fn new(parameters: Vec<(String, Var)>, stage: &StageConfig) -> Result<Self> {
        let parameters = parameters
            .into_iter()
            .map(|(name, var)| {
                let zero = || var.as_detached_tensor().zeros_like();
                let hidden =
                    var.rank() == 2 && name.contains(".blocks.") && !name.contains("modulation");
                let rule = if stage.muon && hidden {
                    Rule::Muon { momentum: zero()? }
                } else {
                    Rule::Adam { mean: zero()?, square: zero()? }
                };
                let average = var.as_detached_tensor().copy()?;
                Ok(Parameter { name, var, rule, average })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parameters, stage: stage.clone(), step: 0 })
    }

    /// Steps done.
    pub fn step_number(&self) -> usize {
        self.step
    }

    /// Moves the parameters against their gradients.
    ///
    /// # Errors
    /// A tensor error.
    pub fn step(&mut self, gradients: &GradStore) -> Result<Stepped> {
        let mut squares = 0.0_f64;
        for Parameter { var, .. } in &self.parameters {
            if let Some(gradient) = gradients.get(var) {
                squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let norm = squares.sqrt();
        if !norm.is_finite() {
            return Ok(Stepped::NotFinite);
        }
        let cut = if norm > self.stage.clip { self.stage.clip / norm } else { 1.0 };
        let rate = learning_rate(&self.stage, self.step);
        self.step += 1;
        // An average over the last tenth of the steps at most, so that early noise is forgotten.
        let keep = self.stage.ema.min(1.0 - 10.0 / (10.0 + self.step as f64));
        for Parameter { var, rule, average, .. } in &mut self.parameters {
            if let Some(gradient) = gradients.get(var) {
                let gradient = (gradient.detach() * cut)?;
                let update = rule.update(&gradient, self.step)?;
                let weight = var.as_detached_tensor();
                let decay = if weight.rank() >= 2 { self.stage.decay } else { 0.0 };
                let kept = (&weight * (1.0 - rate * decay))?;
                var.set(&(kept - (update * rate)?)?)?;
            }
            *average = ((&*average * keep)? + (var.as_detached_tensor() * (1.0 - keep))?)?;
        }
        Ok(Stepped::Moved { norm })
    }

    /// The moving average of each parameter, by name.
    pub fn averages(&self) -> BTreeMap<String, Tensor> {
        self.parameters.iter().map(|p| (p.name.clone(), p.average.clone())).collect()
    }

    /// Everything that a later run needs to go on, by name.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state = BTreeMap::new();
        for Parameter { name, rule, average, .. } in &self.parameters {
            state.insert(format!("average/{name}"), average.clone());
            match rule {
                Rule::Adam { mean, square } => {
                    state.insert(format!("mean/{name}"), mean.clone());
                    state.insert(format!("square/{name}"), square.clone());
                }
                Rule::Muon { momentum } => {
                    state.insert(format!("momentum/{name}"), momentum.clone());
                }
            }
        }
        state
    }

    /// Takes up a state from [`state`](Self::state).
    ///
    /// # Errors
    /// A tensor error if a part is missing or has another shape.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, step: usize) -> Result<()> {
        let take = |key: String, like: &Tensor| match state.get(&key) {
            Some(tensor) if tensor.shape() == like.shape() => Ok(tensor.clone()),
            Some(tensor) => {
                candle_core::bail!("{key} is {:?}, not {:?}", tensor.shape(), like.shape())
            }
            None => candle_core::bail!("the saved state lacks {key}"),
        };
        for Parameter { name, rule, average, .. } in &mut self.parameters {
            *average = take(format!("average/{name}"), average)?;
            match rule {
                Rule::Adam { mean, square } => {
                    *mean = take(format!("mean/{name}"), mean)?;
                    *square = take(format!("square/{name}"), square)?;
                }
                Rule::Muon { momentum } => {
                    *momentum = take(format!("momentum/{name}"), momentum)?;
                }
            }
        }
        self.step = step;
        Ok(())
    }
}

impl Rule {
    /// The direction to subtract, before the learning rate.
    fn update(&mut self, gradient: &Tensor, step: usize) -> Result<Tensor> {
        match self {
            Self::Adam { mean, square } => {
                let [b1, b2] = ADAM_BETAS;
                *mean = ((&*mean * b1)? + (gradient * (1.0 - b1))?)?;
                *square = ((&*square * b2)? + (gradient.sqr()? * (1.0 - b2))?)?;
                let unbiased = (&*mean / (1.0 - b1.powi(step as i32)))?;
                let root = (&*square / (1.0 - b2.powi(step as i32)))?.sqrt()?;
                unbiased / (root + ADAM_EPSILON)?
            }
            Self::Muon { momentum } => {
                *momentum = ((&*momentum * MUON_MOMENTUM)? + gradient)?;
                let ahead = (gradient + (&*momentum * MUON_MOMENTUM)?)?;
                let (rows, columns) = ahead.dims2()?;
                let scale = MUON_SCALE * (rows.max(columns) as f64).sqrt();
                orthogonal(&ahead)? * scale
            }
        }
    }
}

/// The nearest matrix with singular values about 1, by Newton–Schulz.
fn orthogonal(matrix: &Tensor) -> Result<Tensor> {
    let [a, b, c] = NEWTON_SCHULZ;
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let mut x = if tall { matrix.t()?.contiguous()? } else { matrix.clone() };
    let norm = x.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
    x = (x / (f64::from(norm) + 1e-7))?;
    for _ in 0..NEWTON_SCHULZ_ROUNDS {
        let square = x.matmul(&x.t()?)?;
        let mixed = ((&square * b)? + (square.matmul(&square)? * c)?)?;
        x = ((&x * a)? + mixed.matmul(&x)?)?;
    }
    if tall { x.t()?.contiguous() } else { Ok(x) }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn stage(muon: bool) -> StageConfig {
        toml::from_str(&format!(
            "steps = 200\nbatch = 1\nrate = 0.1\nmuon = {muon}\nclip = 1e6\ndecay = 0.0"
        ))
        .unwrap()
    }

    #[test]
    fn newton_schulz_brings_singular_values_near_one() {
        let matrix = Tensor::new(&[[3.0_f32, 0.0, 0.0], [0.0, 0.2, 0.0]], &Device::Cpu).unwrap();
        let x = orthogonal(&matrix).unwrap().to_vec2::<f32>().unwrap();
        assert!((x[0][0] - 1.0).abs() < 0.35 && (x[1][1] - 1.0).abs() < 0.35, "{x:?}");
        assert!(x[0][1].abs() < 1e-5);
    }

    #[test]
    fn both_rules_find_the_bottom_of_a_bowl() {
        for muon in [false, true] {
            let start = Tensor::new(&[[2.0_f32, -1.0], [0.5, 3.0]], &Device::Cpu).unwrap();
            let var = Var::from_tensor(&start).unwrap();
            let names = vec![("x.blocks.0.up.weight".to_owned(), var.clone())];
            let mut optimizer = Optimizer::new(names, &stage(muon)).unwrap();
            for _ in 0..200 {
                let loss = var.sqr().unwrap().sum_all().unwrap();
                let gradients = loss.backward().unwrap();
                assert!(matches!(optimizer.step(&gradients).unwrap(), Stepped::Moved { .. }));
            }
            let left = var.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(left < 0.02, "muon {muon}: {left}");
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let var = Var::from_tensor(&Tensor::new(&[1.0_f32], &Device::Cpu).unwrap()).unwrap();
        let mut optimizer =
            Optimizer::new(vec![("x".to_owned(), var.clone())], &stage(false)).unwrap();
        let loss = (var.as_tensor() * f64::NAN).unwrap().sum_all().unwrap();
        assert_eq!(optimizer.step(&loss.backward().unwrap()).unwrap(), Stepped::NotFinite);
        assert_eq!(var.to_vec1::<f32>().unwrap(), [1.0]);
    }
}
