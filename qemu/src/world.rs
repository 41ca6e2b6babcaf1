//! What every command works with.

use crate::cache::Cache;
use crate::initramfs;
use crate::kernels;
use crate::machine::Direct;
use crate::machine::accel::Accel;
use crate::product::Product;
use crate::trouble::Result;

/// The checkout, the cache and the accelerator.
#[derive(Clone, Debug)]
pub struct World {
    /// What is under test.
    pub product: Product,
    /// Trees, kernels, media.
    pub cache: Cache,
    /// What guests run on.
    pub accel: Accel,
}

impl World {
    /// Opens the cache and chooses the accelerator.
    pub fn open(product: Product) -> Result<World> {
        let cache = Cache::open()?;
        let scratch = product.results("accelerator")?;
        let probe = || {
            let kernel = kernels::kernel(&cache, "6.1")?.vmlinux;
            Ok(Direct {
                kernel,
                initrd: initramfs::trivial(&cache)?,
                words: "console=ttyS0 panic=-1 quiet".into(),
            })
        };
        let accel = Accel::choose(probe, &scratch)?;
        Ok(World {
            product,
            cache,
            accel,
        })
    }
}
