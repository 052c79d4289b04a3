//! How this server is set up, without secrets: paths of files are shown, and what is in them is not.

use cairn::config::{AuthConfig, ServeConfig};
use cairn::contract::CONTRACT;
use cairn::status::StatusLimits;
use maud::{Markup, html};

use super::plan::bytes;
use super::text::{self, Text};

/// Shows the versions and the settings of this server.
pub(super) fn section(config: &ServeConfig, limits: &StatusLimits) -> Markup {
    html! {
        section aria-labelledby="server-title" {
            h2 #server-title { "This server" }
            dl.facts {
                div { dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) } }
                div { dt { "Contract of plugins" } dd { code { (CONTRACT) } } }
                div { dt { "Metrics" } dd { @match config.metrics {
                    Some(address) => a href={ "http://" (address) "/metrics" } rel="noreferrer" { (address) "/metrics" },
                    None => "not served",
                } } }
            }
            p { "The interface for programs is described by " a href="/v1/openapi.json" { "/v1/openapi.json" } "." }
            h3 { "Configuration" }
            p.quiet { "What " code { "[serve]" } " and " code { "[status]" } " of cairn.toml and the command line have set; " code { "cairn config" } " shows the rest." }
            dl.facts { (serve(config)) (status(limits)) }
        }
    }
}

fn serve(config: &ServeConfig) -> Markup {
    let auth = match &config.auth {
        None | Some(AuthConfig::None) => "none".to_owned(),
        Some(AuthConfig::Tokens) => "tokens".to_owned(),
        Some(AuthConfig::Basic(users)) => format!("users of {}", users.display()),
    };
    let proxies: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    html! {
        div { dt { "Listens on" } dd { (Text(&config.listen.to_string())) } }
        div { dt { "Names" } dd { @if config.hosts.is_empty() { "its address and localhost" } @else { (Text(&config.hosts.join(", "))) } } }
        div { dt { "Authentication" } dd { (Text(&auth)) } }
        @if !config.cors.is_empty() { div { dt { "Pages of" } dd { @for origin in &config.cors { code { (origin) } " " } } } }
        div { dt { "TLS" } dd { @match &config.tls { Some(files) => (Text(&files.cert.display().to_string())), None => "no" } } }
        div { dt { "Trusted proxies" } dd { @if proxies.is_empty() { "none" } @else { (Text(&proxies.join(", "))) } } }
        div { dt { "Connections" } dd { "at most " (text::grouped(config.connections as u64)) } }
        div { dt { "Streams" } dd { "at most " (text::grouped(config.streams as u64)) } }
        div { dt { "Body of a request" } dd { "at most " (bytes(config.body)) } }
        div { dt { "A request may take" } dd { (text::duration(config.timeout)) } }
        div { dt { "Login lasts" } dd { (text::duration(config.idle)) " without use" } }
    }
}

fn status(limits: &StatusLimits) -> Markup {
    html! {
        div { dt { "A flow may run" } dd { (text::duration(limits.run)) } }
        div { dt { "A flow may wait for a signal" } dd { (text::duration(limits.wait)) } }
        div { dt { "A flow may be overdue" } dd { (text::duration(limits.overdue)) } }
        div { dt { "A message may be undelivered" } dd { (text::duration(limits.undelivered)) } }
        div { dt { "A backup may be old" } dd { @match limits.backup {
            Some(age) => (text::duration(age)),
            None => { (text::duration(StatusLimits::BACKUP)) ", once there is one" },
        } } }
    }
}
