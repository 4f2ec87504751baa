//! The log through its public interface, on a real disk and on failing ones.

#[cfg(test)]
mod append;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod export;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod full;
#[cfg(test)]
mod late;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod power;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod retain;
#[cfg(test)]
mod since;
#[cfg(test)]
mod states;
#[cfg(test)]
mod sumdb;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tamper;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod view;
#[cfg(test)]
mod want;
