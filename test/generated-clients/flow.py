"""One flow through the client that openapi-generator made for Python: every answer must be what the document says."""

import os
import latchkey_client as latchkey

BUDGET = 3_000_000_000


def cents(text):
    return latchkey.Cents(actual_instance=text)


def expect(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: {got}, not {wanted}")


configuration = latchkey.Configuration(host=os.environ["LATCHKEY_URL"])
with latchkey.ApiClient(configuration) as client:
    login = latchkey.AuthenticationApi(client).login(
        latchkey.LoginRequest(username="admin", password=os.environ["LATCHKEY_PASSWORD"])
    )
    configuration.access_token = login.access_token

    keys = latchkey.APIKeysApi(client)
    created = keys.create_api_key(
        latchkey.ApiKeyCreate(name="generated for Python", is_unlimited=False, budget_limit_cents=BUDGET)
    )
    key, secret = created.api_key, created.secret_key
    expect("budget", key.budget_limit_cents, BUDGET)

    verification = latchkey.VerificationApi(client)
    expect("verdict", verification.verify_api_key(latchkey.VerifyRequest(key=secret)).code, "VALID")

    event = latchkey.UsageEvent(
        api_key_id=key.id,
        request_id="python-1",
        endpoint="/v1/chat",
        method="POST",
        request_tokens=1,
        response_tokens=2,
        cost_cents=cents("0.367000"),
    )
    expect("accepted", latchkey.UsageApi(client).report_usage([event]).accepted, 1)

    holds = latchkey.BudgetHoldsApi(client)
    hold = holds.create_budget_hold(
        latchkey.BudgetHoldRequest(api_key_id=key.id, amount_cents=cents("2500000000.5"), ttl_seconds=60)
    )
    expect("settled", holds.settle_budget_hold(hold.id, latchkey.Settlement(cost_cents=cents("12"))).status, "settled")

    expect("active", verification.introspect_api_key(token=secret).active, True)
    rows = latchkey.AuditApi(client).list_audit_logs(action="create_api_key")
    expect("audit rows", len(rows.audit_logs) > 0, True)
    keys.delete_api_key(key.id)
