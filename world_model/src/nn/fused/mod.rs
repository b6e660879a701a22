//! Fused forms of [`ops`](super::ops) on the processor, forward and backward.
//!
//! One pass over memory where the plain form takes six to ten, no scores in memory, and the
//! widest vectors that the machine has, chosen at run time. Every row is computed on its own and
//! in one order, so results depend neither on the batch nor on the number of threads.

/// Declares a loop that is compiled once per instruction set and run in the widest that the
/// machine has, which the first name stands for. A closure given to [`Arch::dispatch`](pulp::Arch::dispatch) does not do: the
/// compiler may leave its body outside, where vectors are narrow and every `mul_add` is a call.
macro_rules! wide {
    (
        $(#[$doc:meta])*
        fn $name:ident<$a:lifetime>($simd:ident; $($argument:ident: $of:ty),* $(,)?) $body:block
    ) => {
        $(#[$doc])*
        fn $name<$a>(arch: pulp::Arch, $($argument: $of),*) {
            struct Loop<$a> {
                $($argument: $of),*
            }
            impl pulp::WithSimd for Loop<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, $simd: S) {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            arch.dispatch(Loop { $($argument),* });
        }
    };
}

mod affine;
mod attention;
mod gate;
mod gelu;
mod kernel;
mod modulate;
mod recurrence;

pub use affine::Affine;
pub use attention::FusedSelfAttention;
pub use gate::GatedAdd;
pub use gelu::Gelu;
pub use modulate::ModulatedNorm;
pub use recurrence::Recurrence;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};

/// Whether the fused forms take these tensors: contiguous f32 on the processor.
pub fn takes(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous())
}

/// The values of a contiguous f32 operand.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout, name: &'static str) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => candle_core::bail!("{name} takes contiguous f32 tensors"),
    }
}

/// Calls `f` with the values of contiguous f32 tensors on the processor.
fn with_values<const N: usize, R>(
    tensors: [&Tensor; N],
    name: &'static str,
    f: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices = [&[] as &[f32]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        *slice = match &**storage {
            Storage::Cpu(storage) => values(storage, layout, name)?,
            _ => candle_core::bail!("{name} computes on the processor"),
        };
    }
    Ok(f(slices))
}
