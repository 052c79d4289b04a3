//! The interface for programs, under `/v1`: handlers know HTTP and requests; what is allowed is decided by rules and flows.

pub(crate) mod body;
mod externals;
pub(crate) mod flows;
pub(crate) mod operate;
pub(crate) mod operators;
pub(crate) mod oversight;
mod quotas;
mod records;
mod rows;
pub(crate) mod stream;
mod submit;
pub(crate) mod wait;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Cairn",
        description = "Flows of sandboxed tasks that succeed as a unit or are rolled back as a unit.",
        license(name = "Apache-2.0"),
    ),
    modifiers(&Everywhere),
    tags(
        (name = "flows", description = "Begin flows, follow them, and operate on them"),
        (name = "operators", description = "What operators look at and change"),
    ),
)]
struct Api;

/// What holds for all routes: how a caller shows who it is, and the answers that each may give.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, scheme) in [
            ("token", HttpAuthScheme::Bearer),
            ("password", HttpAuthScheme::Basic),
        ] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        }
    }
}

/// Returns the routes with their description, OpenAPI 3.1.
fn described() -> (Router<Arc<App>>, OpenApi) {
    let (router, mut openapi) = OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(submit::submit, flows::list))
        .routes(routes!(flows::show))
        .routes(routes!(flows::events))
        .routes(routes!(flows::logs))
        .routes(routes!(stream::flow))
        .routes(routes!(stream::flows))
        .routes(routes!(operate::interrupt))
        .routes(routes!(operate::resume))
        .routes(routes!(operate::reset))
        .routes(routes!(operate::rollback))
        .routes(routes!(operate::accept))
        .routes(routes!(operate::signal))
        .routes(routes!(oversight::find))
        .routes(routes!(oversight::status))
        .routes(routes!(operators::deployments))
        .routes(routes!(quotas::show, quotas::set))
        .routes(routes!(quotas::unset))
        .routes(routes!(quotas::class, quotas::set_class))
        .routes(routes!(quotas::unset_class))
        .routes(routes!(quotas::check))
        .routes(routes!(quotas::sync))
        .routes(routes!(quotas::expire))
        .routes(routes!(records::list))
        .routes(routes!(records::show, records::put))
        .routes(routes!(records::remove))
        .routes(routes!(records::release))
        .routes(routes!(operators::outbox))
        .routes(routes!(operators::handle))
        .routes(routes!(operators::hosts))
        .routes(routes!(externals::list))
        .routes(routes!(externals::scan))
        .routes(routes!(externals::look))
        .routes(routes!(externals::adopt))
        .routes(routes!(externals::remove))
        .routes(routes!(operators::audit))
        .split_for_parts();
    common::add(&mut openapi);
    (router, openapi)
}

/// Returns the routes under `/v1`.
pub(crate) fn router() -> Router<Arc<App>> {
    let (router, openapi) = described();
    let document = Bytes::from(serde_json::to_vec(&openapi).unwrap_or_default());
    let headers = [(CONTENT_TYPE, "application/json")];
    let document = move || std::future::ready((headers, document.clone()).into_response());
    router
        .route("/v1/openapi.json", axum::routing::get(document))
        .route("/v1/{*rest}", axum::routing::any(nothing))
}

/// Answers for paths that are no route.
async fn nothing(State(_): State<Arc<App>>, _: Caller) -> ApiError {
    ApiError::not_found("there is nothing at this path: /v1/openapi.json lists what there is")
}

/// The answers that each route may give, whatever it does.
mod common {
    use super::*;
    use utoipa::openapi::path::Operation;
    use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

    const ANSWERS: [(StatusCode, &str); 10] = [
        (StatusCode::BAD_REQUEST, "The request is wrong"),
        (
            StatusCode::UNAUTHORIZED,
            "The request does not show who sends it",
        ),
        (StatusCode::FORBIDDEN, "The caller may not do this"),
        (StatusCode::REQUEST_TIMEOUT, "The request came too slowly"),
        (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON"),
        (
            StatusCode::MISDIRECTED_REQUEST,
            "The server is not called what `Host` says",
        ),
        (StatusCode::TOO_MANY_REQUESTS, "Too many logins have failed"),
        (StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "The server stops, has too much to do, or the database is away or held",
        ),
    ];

    pub(super) fn add(openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        use utoipa::PartialSchema as _;
        components
            .schemas
            .insert("Problem".to_owned(), Problem::schema());
        for item in openapi.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                add_to(operation);
            }
        }
    }

    fn add_to(operation: &mut Operation) {
        for (status, description) in ANSWERS {
            let status = status.as_u16().to_string();
            let answer = || RefOr::T(problem(description));
            operation
                .responses
                .responses
                .entry(status)
                .or_insert_with(answer);
        }
    }

    fn problem(description: &str) -> Response {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        ResponseBuilder::new()
            .description(description)
            .content(crate::error::PROBLEM, content)
            .build()
    }
}
