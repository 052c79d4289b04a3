//! The effects and look-ups of block storage as enums, which tests can generate, store and compare.

#![allow(dead_code, reason = "each test uses a part")]

use std::any::Any;
use std::sync::Arc;

use cairn_effects::domain::Domains;
use cairn_effects::effect::{Applied, Caller};
use cairn_effects::outbox::Cast;
use cairn_effects::rules::{AnyAnswer, DynEffect, DynLookUp};
use cairn_effects::task::Context;
use cairn_model::error::TaskError;
use cairn_model::value::Value;
use cairn_store::{SqliteConfig, Store, StoreError};
use cairn_volumes::{
    DefaultVolumeType, IsEncrypted, IsZoneValid, KeyCopy, KeyCreate, KeyDelete, QuotaCommit,
    QuotaReserve, QuotaRollback, ReservedResources, Settings, ShowImage, ShowQosSpecs,
    ShowSnapshot, ShowVolume, ShowVolumeType, VolumeCreate, VolumeDestroy, VolumeTypeName,
    VolumeUpdate,
};

/// Returns only the domain of block storage, with these settings.
pub fn domains(settings: Settings) -> Domains {
    Domains::new([cairn_volumes::domain(settings)]).unwrap()
}

/// Returns the configuration of a store with only the domain of block storage.
pub fn config(settings: Settings) -> SqliteConfig {
    SqliteConfig {
        domains: domains(settings),
        ..SqliteConfig::default()
    }
}

/// An effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    QuotaReserve(QuotaReserve),
    QuotaCommit(QuotaCommit),
    QuotaRollback(QuotaRollback),
    VolumeCreate(VolumeCreate),
    VolumeUpdate(VolumeUpdate),
    VolumeDestroy(VolumeDestroy),
    KeyCreate(KeyCreate),
    KeyCopy(KeyCopy),
    KeyDelete(KeyDelete),
    Cast(Cast),
}

/// The answer of an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Reservations(Vec<String>),
    Volume(Value),
    Key(String),
    Done,
}

/// A look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    VolumeType(String),
    DefaultVolumeType,
    QosSpecs(String),
    Encrypted(String),
    Snapshot(String),
    Volume(String),
    Image(String),
    ZoneIsValid(String),
    VolumeTypeName(String),
    ReservedResources(Vec<String>),
}

impl Effect {
    /// Returns the effect as its own type.
    pub fn rule(&self) -> &dyn DynEffect {
        match self {
            Self::QuotaReserve(effect) => effect,
            Self::QuotaCommit(effect) => effect,
            Self::QuotaRollback(effect) => effect,
            Self::VolumeCreate(effect) => effect,
            Self::VolumeUpdate(effect) => effect,
            Self::VolumeDestroy(effect) => effect,
            Self::KeyCreate(effect) => effect,
            Self::KeyCopy(effect) => effect,
            Self::KeyDelete(effect) => effect,
            Self::Cast(effect) => effect,
        }
    }

    /// Converts from an effect of any type.
    pub fn of(effect: &dyn DynEffect) -> Self {
        fn of<E: Any + Clone>(effect: &dyn DynEffect, make: fn(E) -> Effect) -> Option<Effect> {
            effect.as_any().downcast_ref::<E>().cloned().map(make)
        }
        of(effect, Self::QuotaReserve)
            .or_else(|| of(effect, Self::QuotaCommit))
            .or_else(|| of(effect, Self::QuotaRollback))
            .or_else(|| of(effect, Self::VolumeCreate))
            .or_else(|| of(effect, Self::VolumeUpdate))
            .or_else(|| of(effect, Self::VolumeDestroy))
            .or_else(|| of(effect, Self::KeyCreate))
            .or_else(|| of(effect, Self::KeyCopy))
            .or_else(|| of(effect, Self::KeyDelete))
            .or_else(|| of(effect, Self::Cast))
            .unwrap_or_else(|| panic!("`{}` is no effect of block storage", effect.name()))
    }

    /// Applies the effect through a context.
    pub fn apply(&self, context: &Arc<dyn Context>) -> Result<Answer, TaskError> {
        context
            .apply_dyn(self.rule())
            .map(|answer| Answer::of(&answer))
    }

    /// Applies the effect in a store.
    pub fn apply_in(
        &self,
        store: &dyn Store,
        by: Caller<'_>,
    ) -> Result<(Answer, Applied), StoreError> {
        let (answer, applied) = store.apply_dyn(by, self.rule())?;
        Ok((Answer::of(&answer), applied))
    }
}

impl Answer {
    /// Converts from an answer of any type.
    pub fn of(answer: &AnyAnswer) -> Self {
        if let Some(ids) = answer.downcast_ref::<Vec<String>>() {
            return Self::Reservations(ids.clone());
        }
        if let Some(volume) = answer.downcast_ref::<Value>() {
            return Self::Volume(volume.clone());
        }
        match answer.downcast_ref::<String>() {
            Some(id) => Self::Key(id.clone()),
            None => Self::Done,
        }
    }
}

impl Query {
    /// Returns the look-up as its own type.
    pub fn rule(&self) -> Box<dyn DynLookUp> {
        match self.clone() {
            Self::VolumeType(id) => Box::new(ShowVolumeType(id)),
            Self::DefaultVolumeType => Box::new(DefaultVolumeType),
            Self::QosSpecs(id) => Box::new(ShowQosSpecs(id)),
            Self::Encrypted(id) => Box::new(IsEncrypted(id)),
            Self::Snapshot(id) => Box::new(ShowSnapshot(id)),
            Self::Volume(id) => Box::new(ShowVolume(id)),
            Self::Image(id) => Box::new(ShowImage(id)),
            Self::ZoneIsValid(zone) => Box::new(IsZoneValid(zone)),
            Self::VolumeTypeName(id) => Box::new(VolumeTypeName(id)),
            Self::ReservedResources(ids) => Box::new(ReservedResources(ids)),
        }
    }

    /// Runs the look-up through a context.
    pub fn ask(&self, context: &Arc<dyn Context>) -> Result<Value, TaskError> {
        let rule = self.rule();
        context
            .look_up_dyn(&*rule)
            .map(|answer| rule.show(&*answer))
    }

    /// Runs the look-up in a store.
    pub fn ask_in(&self, store: &dyn Store, by: Caller<'_>) -> Result<Value, StoreError> {
        let rule = self.rule();
        store
            .look_up_dyn(by, &*rule)
            .map(|answer| rule.show(&*answer))
    }
}
