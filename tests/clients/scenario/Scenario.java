// The scenario of test_clients.py with the client that openapi-generator generates for Java, library "native".
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AnalyticsApi;
import org.openapitools.client.api.CartsApi;
import org.openapitools.client.model.*;

public class Scenario {
  static final long LARGEST_ID = (1L << 53) - 1;
  static CartsApi carts;
  static String guest;

  interface Call {
    void run() throws ApiException;
  }

  static Line add(long productId, int quantity, double price, String key) throws ApiException {
    Item item = new Item().productId(productId).productName("Espresso cup").quantity(quantity).price(price);
    return carts.addItem(CartsApi.APIAddItemRequest.newBuilder().userId(guest).item(item).idempotencyKey(key).build());
  }

  static Line set(int quantity, String etag) throws ApiException {
    QuantityRequest body = new QuantityRequest().quantity(quantity);
    return carts.setQuantity(
        CartsApi.APISetQuantityRequest.newBuilder().userId(guest).productId(42L).quantityRequest(body).ifMatch(etag).build());
  }

  /** Return the problem of a call that must be refused. */
  static <T> T problem(Class<T> kind, Call call) throws Exception {
    try {
      call.run();
    } catch (ApiException refusal) {
      return ApiClient.createDefaultObjectMapper().readValue(refusal.getResponseBody(), kind);
    }
    throw new AssertionError("it was not refused");
  }

  static String money(double amount) {
    return String.format(Locale.ROOT, "%.2f", amount);
  }

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    carts = new CartsApi(client);
    guest = carts.createGuestCart(CartsApi.APICreateGuestCartRequest.newBuilder().build()).getUserId();

    add(42, 1, 131072.01, null);
    add(LARGEST_ID, 1, 9999999.99, null);
    CartAndSaved cart = carts.getCart(CartsApi.APIGetCartRequest.newBuilder().userId(guest).build());
    String etag = '"' + cart.getItems().get(0).getVersion().toString() + '"';
    int quantity = set(3, etag).getQuantity();
    LineVersionConflictProblem conflict = problem(LineVersionConflictProblem.class, () -> set(4, etag));
    QuantityLimitProblem limit = problem(QuantityLimitProblem.class, () -> add(42, 999, 131072.01, null));
    List<Integer> repeats =
        List.of(add(LARGEST_ID, 1, 9999999.99, "key-1").getQuantity(), add(LARGEST_ID, 1, 9999999.99, "key-1").getQuantity());
    MergeRequest merge = new MergeRequest().sourceUserId(guest);
    Receipt receipt =
        carts.mergeCarts(CartsApi.APIMergeCartsRequest.newBuilder().userId(arguments[1]).mergeRequest(merge).build());
    Summary summary =
        new AnalyticsApi(client).getSummary(AnalyticsApi.APIGetSummaryRequest.newBuilder().build());

    Map<String, Object> result = new LinkedHashMap<>();
    result.put("ids", cart.getItems().stream().map(line -> line.getProductId().toString()).toList());
    result.put("prices", cart.getItems().stream().map(line -> money(line.getPrice())).toList());
    result.put("total", money(cart.getTotalPrice()));
    result.put("set", quantity);
    result.put("conflict", conflict.getCurrent().getQuantity());
    result.put("limit", limit.getLimit());
    result.put("repeats", repeats);
    result.put("merged", List.of(receipt.getLines().size(), money(receipt.getCart().getTotalPrice())));
    result.put("units", summary.getTotals().getUnits());
    System.out.println(ApiClient.createDefaultObjectMapper().writeValueAsString(result));
  }
}
