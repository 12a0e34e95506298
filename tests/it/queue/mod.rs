//! Both queue backends keep one contract: [`exercise`] states it, the siblings run it.

mod embedded;
pub(crate) mod exercise;
mod rabbitmq;
