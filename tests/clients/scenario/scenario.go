// The scenario of test_clients.py with the client that openapi-generator generates for Go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	client "cart_client"
)

const largestID = int64(1)<<53 - 1

var (
	ctx   = context.Background()
	api   *client.APIClient
	guest string
)

func add(productID int64, quantity int32, price float64, key string) (*client.Line, error) {
	request := api.CartsAPI.AddItem(ctx, guest).Item(*client.NewItem(productID, "Espresso cup", quantity, price))
	if key != "" {
		request = request.IdempotencyKey(key)
	}
	line, _, err := request.Execute()
	return line, err
}

func set(quantity int32, etag string) (*client.Line, error) {
	line, _, err := api.CartsAPI.SetQuantity(ctx, guest, 42).QuantityRequest(*client.NewQuantityRequest(quantity)).IfMatch(etag).Execute()
	return line, err
}

// good returns the value of a call that must succeed.
func good[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// problem returns the problem of a call that must be refused.
func problem[T any](_ *client.Line, err error) T {
	var refusal *client.GenericOpenAPIError
	if !errors.As(err, &refusal) {
		panic("it was not refused")
	}
	return refusal.Model().(T)
}

func money(amount float64) string {
	return strconv.FormatFloat(amount, 'f', 2, 64)
}

func main() {
	api = client.NewAPIClient(client.NewConfiguration())
	started, _, err := api.CartsAPI.CreateGuestCart(ctx).Execute()
	guest = good(started, err).UserId

	good(add(42, 1, 131072.01, ""))
	good(add(largestID, 1, 9999999.99, ""))
	cart, _, err := api.CartsAPI.GetCart(ctx, guest).Execute()
	good(cart, err)
	etag := fmt.Sprintf(`"%d"`, cart.Items[0].Version)
	line := good(set(3, etag))
	conflict := problem[client.LineVersionConflictProblem](set(4, etag))
	limits := problem[client.QuantityLimitOrLinesLimitOrInsufficientStockOrProductUnreadableProblem](add(42, 999, 131072.01, ""))
	repeats := []int32{}
	for range [2]int{} {
		repeats = append(repeats, good(add(largestID, 1, 9999999.99, "key-1")).Quantity)
	}
	receipt, _, err := api.CartsAPI.MergeCarts(ctx, os.Args[2]).MergeRequest(*client.NewMergeRequest(guest)).Execute()
	good(receipt, err)
	summary, _, err := api.AnalyticsAPI.GetSummary(ctx).Execute()
	good(summary, err)

	ids, prices := []string{}, []string{}
	for _, line := range cart.Items {
		ids = append(ids, strconv.FormatInt(line.ProductId, 10))
		prices = append(prices, money(line.Price))
	}
	good(0, json.NewEncoder(os.Stdout).Encode(map[string]any{
		"ids":      ids,
		"prices":   prices,
		"total":    money(cart.TotalPrice),
		"set":      line.Quantity,
		"conflict": conflict.Current.Get().Quantity,
		"limit":    limits.QuantityLimitProblem.Limit,
		"repeats":  repeats,
		"merged":   []any{len(receipt.Lines), money(receipt.Cart.TotalPrice)},
		"units":    summary.Totals.Units,
	}))
}
