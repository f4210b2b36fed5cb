//! Vector allocation for lines.
//!
//! Each CPU has its own [`Allocator`], so the machine has about 200 vectors per CPU. A vector is
//! allocated only in the requested class: the class determines the priority, so a vector of another
//! class cannot replace it.

use crate::vector::{PriorityClass, Vector, fixed};
use core::fmt;

mod levels;
mod set;

pub use levels::Levels;
pub use set::{Iter, VectorSet};

/// The vectors reserved for exceptions: 0 to 31 (SDM vol. 3A, 7.2).
pub const EXCEPTIONS: VectorSet = VectorSet::EMPTY
    .with_class(PriorityClass::LOWEST)
    .with(VectorSet::range(Vector(16), Vector(31)));

/// The vectors that no line gets on any CPU: classes 2, 14 and 15, and the others of
/// [`fixed::ALL`].
pub const FIXED: VectorSet = {
    let mut set = VectorSet::range(Vector(0x20), Vector(0x2f))
        .with(VectorSet::range(Vector(0xe0), Vector(0xff)));
    let mut index = 0;
    while index < fixed::ALL.len() {
        set.insert(fixed::ALL[index]);
        index += 1;
    }
    set
};

/// The vector allocator of one CPU.
///
/// It must be protected by a lock against use by two CPUs at once. The interrupt path does not
/// access it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocator {
    reserved: VectorSet,
    allocated: VectorSet,
}

impl Allocator {
    /// An allocator with no vector allocated. It never allocates the vectors in `reserved` or in
    /// [`EXCEPTIONS`].
    #[must_use]
    pub const fn new(reserved: VectorSet) -> Self {
        Self {
            reserved: reserved.with(EXCEPTIONS),
            allocated: VectorSet::EMPTY,
        }
    }

    /// Allocates a vector of `class`.
    ///
    /// It is taken from the smallest gap between vectors in use, to preserve larger blocks.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if none is left, as always in classes 0 and 1.
    pub const fn allocate(&mut self, class: PriorityClass) -> Result<Vector, Exhausted> {
        self.allocate_block(class, 1)
    }

    /// Allocates `count` consecutive vectors of `class` and returns the first, whose number is a
    /// multiple of `count`.
    ///
    /// A device with several MSI messages needs such a block: it puts the number of the message
    /// into the lowest bits of the vector (PCI Local Bus specification 3.0, 6.8.1.6). `count` is 1,
    /// 2, 4, 8 or 16; other values are rounded up to the next of these, 0 to 1. A `count` above 16
    /// always fails.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there is no such block.
    pub const fn allocate_block(
        &mut self,
        class: PriorityClass,
        count: u8,
    ) -> Result<Vector, Exhausted> {
        match self.available().find_block(class, count) {
            Some(first) => {
                self.allocated = self.allocated.with(VectorSet::block(first, count));
                Ok(first)
            }
            None => Err(self.exhausted(class, count)),
        }
    }

    /// Allocates the block of `count` vectors that begins with `first`, for a caller that has
    /// chosen from [`available`](Self::available) of several CPUs. `count` is rounded as in
    /// [`allocate_block`](Self::allocate_block).
    ///
    /// # Errors
    ///
    /// [`NotAvailable`] with the first vector that is reserved or already allocated, or with
    /// `first` if it is not a multiple of `count`. The state is then unchanged.
    pub const fn claim(&mut self, first: Vector, count: u8) -> Result<(), NotAvailable> {
        let block = VectorSet::block(first, count);
        match block.without(self.available()).lowest() {
            Some(vector) => Err(NotAvailable(vector)),
            None if block.is_empty() => Err(NotAvailable(first)),
            None => {
                self.allocated = self.allocated.with(block);
                Ok(())
            }
        }
    }

    /// Frees one vector.
    ///
    /// # Errors
    ///
    /// [`NotAllocated`] if it was not allocated; the state is then unchanged.
    pub const fn free(&mut self, vector: Vector) -> Result<(), NotAllocated> {
        self.free_block(vector, 1)
    }

    /// Frees the block of `count` vectors that begins with `first`; `count` is rounded as in
    /// [`allocate_block`](Self::allocate_block).
    ///
    /// # Errors
    ///
    /// [`NotAllocated`] with the first vector that was not allocated, or with `first` if it is not
    /// a multiple of `count`. The state is then unchanged.
    pub const fn free_block(&mut self, first: Vector, count: u8) -> Result<(), NotAllocated> {
        let block = VectorSet::block(first, count);
        match block.without(self.allocated).lowest() {
            Some(vector) => Err(NotAllocated(vector)),
            None if block.is_empty() => Err(NotAllocated(first)),
            None => {
                self.allocated = self.allocated.without(block);
                Ok(())
            }
        }
    }

    /// The allocated vectors, without the reserved ones.
    #[must_use]
    pub const fn allocated(&self) -> VectorSet {
        self.allocated
    }

    /// The vectors that are never allocated, including [`EXCEPTIONS`].
    #[must_use]
    pub const fn reserved(&self) -> VectorSet {
        self.reserved
    }

    /// The vectors that can be allocated.
    #[must_use]
    pub const fn available(&self) -> VectorSet {
        VectorSet::ALL
            .without(self.reserved)
            .without(self.allocated)
    }

    /// Number of vectors of a class that can be allocated, 0 to 16.
    #[must_use]
    pub const fn available_in(&self, class: PriorityClass) -> u8 {
        self.available().bits_of(class).count_ones() as u8
    }

    const fn exhausted(&self, class: PriorityClass, count: u8) -> Exhausted {
        let available = self.available();
        let mut largest = 0;
        let mut size = 16;
        while size > 0 && largest == 0 {
            if available.find_block(class, size).is_some() {
                largest = size;
            }
            size /= 2;
        }
        let mut nearest = None;
        let mut distance = 1;
        while distance < 16 && nearest.is_none() {
            let above = PriorityClass::new(class.get() + distance);
            if let Some(above) = above
                && available.find_block(above, count).is_some()
            {
                nearest = Some(above);
            } else if class.get() >= distance
                && let Some(below) = PriorityClass::new(class.get() - distance)
                && available.find_block(below, count).is_some()
            {
                nearest = Some(below);
            }
            distance += 1;
        }
        Exhausted {
            class,
            requested: count,
            free_in_class: self.available_in(class),
            largest_block: largest,
            nearest,
        }
    }
}

/// The error of an allocation that this CPU has no vectors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The requested class.
    pub class: PriorityClass,
    /// The requested number of vectors in one block, as passed by the caller.
    pub requested: u8,
    /// Number of vectors of the class that are free, 0 to 16.
    pub free_in_class: u8,
    /// Size of the largest free block of the class: 0, 1, 2, 4 or 8 vectors, or 16 if more vectors
    /// were requested than a class has.
    pub largest_block: u8,
    /// The nearest class of this CPU that can satisfy the request, if any: of two equally near
    /// ones, the higher, because it makes no deadline worse.
    pub nearest: Option<PriorityClass>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            class,
            requested,
            free_in_class,
            largest_block,
            nearest,
        } = *self;
        match requested {
            0 | 1 => write!(f, "no vector of class {class} is free on this CPU")?,
            _ => write!(
                f,
                "no block of {requested} vectors of class {class} is free on this CPU: \
                 {free_in_class} free, the largest block has {largest_block}"
            )?,
        }
        match nearest {
            _ if requested > 16 => f.write_str("; a class has 16 vectors (request fewer)"),
            _ if !class.is_usable() => {
                f.write_str("; classes 0 and 1 are the processor's: ask for 2 to 15")
            }
            Some(class) => write!(f, "; class {class} has room"),
            None => f.write_str("; no other class has room: try another CPU"),
        }
    }
}

impl core::error::Error for Exhausted {}

/// The error of a claim of a vector that is reserved or already allocated, or that does not begin a
/// block of the requested size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAvailable(pub Vector);

impl fmt::Display for NotAvailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vector {} is reserved or in use on this CPU, or begins no such block",
            self.0
        )
    }
}

impl core::error::Error for NotAvailable {}

/// The error of freeing a vector that was not allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAllocated(pub Vector);

impl fmt::Display for NotAllocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vector {} was not given out on this CPU", self.0)
    }
}

impl core::error::Error for NotAllocated {}
