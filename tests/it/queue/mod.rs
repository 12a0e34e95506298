//! Both queue backends keep one contract: [`exercise`] states it, the siblings run it.

mod embedded;
mod exercise;
mod rabbitmq;
