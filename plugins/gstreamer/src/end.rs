//! How a stream ends: the same for picture and sound.

use fanlight::source::SourceError;
use gst::prelude::*;
use gst::{CoreError, FlowError, ResourceError, StreamError};

use crate::settings::OnDisconnect;

/// Why nothing comes any more.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// As if the guest's last frame, or sample, were the last of the stream.
    Eos,
    /// Something broke: of which kind, a sentence for the user, and what is behind it.
    Failed(Kind, String, String),
}

/// What broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no such virtual machine, or nothing of it can be had.
    NotFound,
    /// It can't be opened.
    Open,
    /// It is gone.
    Lost,
    /// Downstream takes nothing that the guest's picture or sound can be given as.
    Format,
    /// The pipeline tells no time.
    Clock,
}

impl End {
    /// The virtual machine can't be opened.
    pub(crate) fn refused(error: &SourceError) -> Self {
        let kind = match error {
            SourceError::NoVm(_)
            | SourceError::NoSuchVm { .. }
            | SourceError::NoSuchConsole { .. }
            | SourceError::NoGraphicConsole
            | SourceError::NoDomain(_)
            | SourceError::NoConsole(_)
            | SourceError::NoSound(_)
            | SourceError::Silent(_) => Kind::NotFound,
            _ => Kind::Open,
        };
        Self::Failed(kind, error.to_string(), format!("{error:?}"))
    }

    /// The virtual machine is gone; `None`: it is waited for.
    pub(crate) fn lost(reason: &str, then: OnDisconnect) -> Option<Self> {
        match then {
            OnDisconnect::Eos => Some(Self::Eos),
            OnDisconnect::Error => {
                let what = format!("the virtual machine is gone ({reason})");
                Some(Self::Failed(Kind::Lost, what, String::new()))
            }
            OnDisconnect::Reconnect => None,
        }
    }

    /// Tells the application, and returns what the streaming thread ends with. No lock is held meanwhile.
    pub(crate) fn post(self, element: &impl IsA<gst::Element>) -> FlowError {
        let (kind, what, debug) = match self {
            Self::Eos => return FlowError::Eos,
            Self::Failed(kind, what, debug) => (kind, what, debug),
        };
        element.post_error_message(match kind {
            Kind::NotFound => gst::error_msg!(ResourceError::NotFound, ("{what}"), ["{debug}"]),
            Kind::Open => gst::error_msg!(ResourceError::OpenRead, ("{what}"), ["{debug}"]),
            Kind::Lost => gst::error_msg!(ResourceError::Read, ("{what}"), ["{debug}"]),
            Kind::Format => gst::error_msg!(StreamError::Format, ("{what}"), ["{debug}"]),
            Kind::Clock => gst::error_msg!(CoreError::Clock, ("{what}"), ["{debug}"]),
        });
        if kind == Kind::Format { FlowError::NotNegotiated } else { FlowError::Error }
    }
}
