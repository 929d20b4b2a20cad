// One flow through the client that openapi-generator made for Java: every answer must be what the document says.
import java.util.List;
import java.util.Objects;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.ApiKeysApi;
import org.openapitools.client.api.AuditApi;
import org.openapitools.client.api.AuthenticationApi;
import org.openapitools.client.api.BudgetHoldsApi;
import org.openapitools.client.api.UsageApi;
import org.openapitools.client.api.VerificationApi;
import org.openapitools.client.model.ApiKeyCreate;
import org.openapitools.client.model.BudgetHoldRequest;
import org.openapitools.client.model.Cents;
import org.openapitools.client.model.LoginRequest;
import org.openapitools.client.model.Settlement;
import org.openapitools.client.model.UsageEvent;
import org.openapitools.client.model.VerifyRequest;

class Flow {
  static final long BUDGET = 3_000_000_000L;

  public static void main(String[] arguments) throws Exception {
    var client = new ApiClient();
    client.updateBaseUri(System.getenv("LATCHKEY_URL"));
    var login = new LoginRequest().username("admin").password(System.getenv("LATCHKEY_PASSWORD"));
    var token = new AuthenticationApi(client).login(login).getAccessToken();
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));

    var keys = new ApiKeysApi(client);
    var wanted = new ApiKeyCreate().name("generated for Java").isUnlimited(false).budgetLimitCents(BUDGET);
    var created = keys.createApiKey(wanted, null);
    var id = created.getApiKey().getId();
    var secret = created.getSecretKey();
    expect("budget", created.getApiKey().getBudgetLimitCents(), BUDGET);

    var verification = new VerificationApi(client);
    expect("verdict", verification.verifyApiKey(new VerifyRequest().key(secret)).getCode(), "VALID");

    var event = new UsageEvent().apiKeyId(id).requestId("java-1").endpoint("/v1/chat").method("POST")
        .requestTokens(1).responseTokens(2).costCents(new Cents("0.367000"));
    expect("accepted", new UsageApi(client).reportUsage(List.of(event)).getAccepted(), 1L);

    var holds = new BudgetHoldsApi(client);
    var request = new BudgetHoldRequest().apiKeyId(id).amountCents(new Cents("2500000000.5")).ttlSeconds(60);
    var hold = holds.createBudgetHold(request);
    var settled = holds.settleBudgetHold(hold.getId(), new Settlement().costCents(new Cents("12")));
    expect("settled", settled.getStatus(), "settled");

    expect("active", verification.introspectApiKey(secret, null).getActive(), true);
    var rows = new AuditApi(client).listAuditLogs(null, "create_api_key", null, null, null, null, null, null, null, null, null);
    expect("audit rows", rows.getAuditLogs().isEmpty(), false);
    keys.deleteApiKey(id);
  }

  static void expect(String what, Object got, Object wanted) {
    if (!Objects.equals(got, wanted)) throw new AssertionError(what + ": " + got + ", not " + wanted);
  }
}
