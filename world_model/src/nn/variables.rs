//! The trainable tensors of a model, by name, with draws that depend on the name alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand_distr::{Distribution as _, StandardNormal, Uniform};
use rehearse_scenarios::seed::Seed;

/// Trainable tensors by name, in the order of their names.
///
/// A name that is asked for and not there is created, from the seed's child of that name, so that
/// adding a layer changes no other layer's start.
#[derive(Clone, Debug)]
pub struct Variables {
    seed: Seed,
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
}

impl Variables {
    /// No variables yet; new ones are drawn below `seed`.
    pub fn new(seed: Seed) -> Self {
        Self { seed, vars: Arc::default() }
    }

    /// Variables that start as copies of `tensors`; further ones are drawn below `seed`.
    ///
    /// # Errors
    /// The device's error if a copy cannot be made.
    pub fn from_tensors(
        seed: Seed,
        tensors: &BTreeMap<String, Tensor>,
    ) -> candle_core::Result<Self> {
        let vars = tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(&tensor.copy()?)?)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self { seed, vars: Arc::new(Mutex::new(vars)) })
    }

    /// A builder whose tensors are these variables; those whose names start with one of
    /// `trainable` take part in a backward pass.
    pub fn builder(&self, device: &Device, trainable: &[&str]) -> VarBuilder<'static> {
        let trainable = trainable.iter().map(|&prefix| prefix.to_owned()).collect();
        let view = View { variables: self.clone(), trainable };
        VarBuilder::from_backend(Box::new(view), DType::F32, device.clone())
    }

    /// Removes the variables whose names start with `prefix`.
    pub fn remove(&self, prefix: &str) {
        self.lock().retain(|name, _| !name.starts_with(prefix));
    }

    /// The variables whose names start with `prefix`, in the order of their names.
    pub fn below(&self, prefix: &str) -> Vec<(String, Var)> {
        self.lock()
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, var)| (name.clone(), var.clone()))
            .collect()
    }

    /// Detached tensors by name; they share memory with the variables.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Overwrites variables that exist, and creates those that do not.
    ///
    /// # Errors
    /// The tensor's error if a shape differs.
    pub fn assign(&self, tensors: &BTreeMap<String, Tensor>) -> candle_core::Result<()> {
        let mut vars = self.lock();
        for (name, tensor) in tensors {
            match vars.get(name) {
                Some(var) => var.set(tensor)?,
                None => {
                    vars.insert(name.clone(), Var::from_tensor(&tensor.copy()?)?);
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // The map is whole at every point where a panic could poison the lock.
        self.vars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(
        &self,
        name: &str,
        shape: &Shape,
        init: Init,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let count = shape.elem_count();
        let mut rng = self.seed.child(name).rng();
        let values: Vec<f32> = match init {
            Init::Const(value) => vec![value as f32; count],
            Init::Randn { mean, stdev } => (0..count)
                .map(|_| {
                    let draw: f64 = StandardNormal.sample(&mut rng);
                    (mean + stdev * draw) as f32
                })
                .collect(),
            Init::Uniform { lo, up } => {
                let uniform = Uniform::new_inclusive(lo, up).map_err(candle_core::Error::wrap)?;
                (0..count).map(|_| uniform.sample(&mut rng) as f32).collect()
            }
            Init::Kaiming { .. } => {
                candle_core::bail!("no layer of this crate asks for {init:?} ({name})")
            }
        };
        Tensor::from_vec(values, shape, device)
    }
}

/// Variables of which some take part in a backward pass.
struct View {
    variables: Variables,
    trainable: Vec<String>,
}

impl View {
    fn tensor(&self, name: &str, var: &Var) -> Tensor {
        if self.trainable.iter().any(|prefix| name.starts_with(prefix)) {
            var.as_tensor().clone()
        } else {
            var.as_detached_tensor()
        }
    }
}

impl SimpleBackend for View {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if let Some(var) = self.variables.lock().get(name) {
            if *var.shape() != shape {
                candle_core::bail!("tensor {name} is {:?}, the model needs {shape:?}", var.shape());
            }
            return Ok(self.tensor(name, var));
        }
        let drawn = self.variables.draw(name, &shape, init, device)?;
        let var = Var::from_tensor(&drawn.to_dtype(dtype)?)?;
        let tensor = self.tensor(name, &var);
        self.variables.lock().insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(
        &self,
        name: &str,
        _dtype: DType,
        _device: &Device,
    ) -> candle_core::Result<Tensor> {
        match self.variables.lock().get(name) {
            Some(var) => Ok(self.tensor(name, var)),
            None => candle_core::bail!("cannot find tensor {name}"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.variables.lock().contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_depends_on_its_name_and_not_on_the_order() {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        let draw = |names: &[&str]| {
            let vars = Variables::new(Seed::root(3));
            let vb = vars.builder(&Device::Cpu, &[]);
            for name in names {
                vb.get_with_hints(4, name, init).unwrap();
            }
            vars.tensors()["b"].to_vec1::<f32>().unwrap()
        };
        assert_eq!(draw(&["a", "b"]), draw(&["b", "c"]));
    }

    #[test]
    fn a_shape_that_differs_is_named() {
        let vars = Variables::new(Seed::root(3));
        let vb = vars.builder(&Device::Cpu, &[]).pp("layer");
        vb.get_with_hints(4, "bias", Init::Const(0.0)).unwrap();
        let error = vb.get_with_hints(5, "bias", Init::Const(0.0)).unwrap_err();
        assert!(error.to_string().contains("layer.bias"), "{error}");
    }
}
