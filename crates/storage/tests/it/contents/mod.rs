//! Tars become files and the same tars again: whole ones, odd ones, hostile ones, and those of
//! others.

mod files;
mod hostile;
mod make;
mod odd;
mod twins;
