// One flow through the client that openapi-generator made for Rust: every answer must be what the document says.
use openapi::apis::{
    api_keys_api, audit_api, authentication_api, budget_holds_api, configuration::Configuration, usage_api, verification_api,
};
use openapi::models::{ApiKeyCreate, BudgetHoldRequest, Cents, LoginRequest, Settlement, UsageEvent, VerifyRequest};

const BUDGET: i64 = 3_000_000_000;

fn cents(text: &str) -> Cents {
    Cents::String(text.to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut configuration = Configuration::new();
    configuration.base_path = std::env::var("LATCHKEY_URL")?;
    let login = LoginRequest::new("admin".to_owned(), std::env::var("LATCHKEY_PASSWORD")?);
    let tokens = authentication_api::login(&configuration, login).await?;
    configuration.bearer_access_token = Some(tokens.access_token);

    let mut wanted = ApiKeyCreate::new("generated for Rust".to_owned());
    wanted.is_unlimited = Some(false);
    wanted.budget_limit_cents = Some(Some(BUDGET));
    let created = api_keys_api::create_api_key(&configuration, wanted, None).await?;
    let (key, secret) = (created.api_key, created.secret_key.expect("a secret"));
    assert_eq!(key.budget_limit_cents, Some(BUDGET));

    let verdict = verification_api::verify_api_key(&configuration, VerifyRequest::new(secret.clone())).await?;
    assert_eq!(verdict.code, "VALID");

    let event = UsageEvent::new(key.id, "rust-1".to_owned(), "/v1/chat".to_owned(), "POST".to_owned(), 1, 2, cents("0.367000"));
    assert_eq!(usage_api::report_usage(&configuration, vec![event]).await?.accepted, 1);

    let mut request = BudgetHoldRequest::new(cents("2500000000.5"), 60);
    request.api_key_id = Some(key.id);
    let hold = budget_holds_api::create_budget_hold(&configuration, request).await?;
    let settlement = Settlement::new(cents("12"));
    let settled = budget_holds_api::settle_budget_hold(&configuration, &hold.id.to_string(), settlement).await?;
    assert_eq!(settled.status, "settled");

    assert!(verification_api::introspect_api_key(&configuration, &secret, None).await?.active);
    let rows = audit_api::list_audit_logs(
        &configuration, None, Some("create_api_key"), None, None, None, None, None, None, None, None, None,
    )
    .await?;
    assert!(!rows.audit_logs.is_empty());
    api_keys_api::delete_api_key(&configuration, key.id).await?;
    Ok(())
}
