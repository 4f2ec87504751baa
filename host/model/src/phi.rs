//! Protected health information, marked by its type (I9).

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A value that may hold PHI.
///
/// It has no `Debug`, no `Display` and no `Serialize`, so it cannot reach a log line, an error or a metric by
/// accident, and its memory is overwritten when it is dropped. [`Phi::expose`] is the one way in: grep for it.
pub struct Phi<T: Zeroize>(T);

impl<T: Zeroize> Phi<T> {
    /// Marks `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for as long as the borrow lasts.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, to be changed in place.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The value itself, unmarked: only where the reply leaves the process.
    pub fn into_inner(mut self) -> T
    where
        T: Default,
    {
        std::mem::take(&mut self.0)
    }
}

impl<T: Zeroize + Clone> Clone for Phi<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize + Default> Default for Phi<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

impl<T: Zeroize> Drop for Phi<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> ZeroizeOnDrop for Phi<T> {}
