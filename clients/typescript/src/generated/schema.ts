// Generated from the OpenAPI document by `npm run generate`. Do not edit.

export interface paths {
    "/cart": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start a guest's cart
         * @description The id cannot be guessed, and whoever has it can use the cart. Nothing is stored before the first item is added.
         */
        post: operations["createGuestCart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        /**
         * Get cart
         * @description A cart that nobody has filled is empty; it is never a 404.
         */
        get: operations["getCart"];
        put?: never;
        post?: never;
        /**
         * Clear the cart
         * @description With `If-Match` and the cart's ETag, only if the cart has not changed; else 412, with the current cart.
         */
        delete: operations["clearCart"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/items": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Add an item
         * @description The quantity is added to what the cart already has of the product. Name and price become those of the request. If
         *     the service has a catalogue, they come from there, and may be left out; then all units of the line must be in stock.
         *
         *     With the header `Idempotency-Key` (a string in double quotes), a repeat within 24 hours is not carried out again: it
         *     gets the first answer, with `Idempotency-Replayed: true`. The same key with another body is a 422.
         */
        post: operations["addItem"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/items/{product_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        get?: never;
        /**
         * Set the quantity of a line
         * @description With `If-Match` and the line's ETag, only if the line has not changed; else 412, with the current line.
         */
        put: operations["setQuantity"];
        post?: never;
        /**
         * Remove a line
         * @description With `If-Match` and the line's ETag, only if the line has not changed; else 412, with the current line.
         */
        delete: operations["removeItem"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/merge": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Merge another cart into this one, as when a guest logs in
         * @description Each line of the source, and each saved line, moves once, whatever else happens to either cart. Then the source is
         *     empty, and merging it again changes nothing. Units beyond the limit of a line are removed, and lines beyond the
         *     limit of the cart stay in the source; the receipt lists both. Of two prices, the newer one is kept. The links to
         *     the source end; `dry_run` leaves them as they are.
         *
         *     The caller needs the right to both carts. The request takes an `Idempotency-Key`.
         */
        post: operations["mergeCarts"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/validate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Check the cart against the catalogue, before it is paid for
         * @description The answer says for each line whether its price has changed, whether enough units are in stock, and whether the
         *     product is still sold. Nothing is changed.
         *
         *     With `fix=true` the cart is corrected: prices and names become the catalogue's, quantities are reduced to the stock,
         *     and what cannot be bought is saved for later, if there is room. The answer lists each correction, and has the cart
         *     after it. Fixing again changes nothing more. The request takes an `Idempotency-Key`.
         */
        post: operations["validateCart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/saved": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        /**
         * Get what is saved
         * @description The lines are in the order in which they were added. A list that has never been used is empty; it is never a 404.
         */
        get: operations["getSaved"];
        put?: never;
        /**
         * Save an item
         * @description The quantity is added to what is already saved of the product. The request takes an `Idempotency-Key`.
         */
        post: operations["saveItem"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/saved/{product_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Remove what is saved of a product
         * @description With `If-Match` and the line's ETag, only if the line has not changed; else 412, with the current line.
         */
        delete: operations["removeSaved"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/items/{product_id}/save-for-later": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Save a line of the cart for later
         * @description Its quantity is added to what is already saved of the product; `cut` is the number of units that were removed, since
         *     they exceed the limit. The answer is the saved line. A repeat with the same `Idempotency-Key` gets the first answer;
         *     without a key it is a 404, because the line has moved.
         */
        post: operations["saveForLater"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/saved/{product_id}/move-to-cart": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Move what is saved of a product to the cart
         * @description Its quantity is added to the cart's line; `cut` is the number of units that were removed, since they exceed the
         *     limit. The answer is the cart's line. A repeat with the same `Idempotency-Key` gets the first answer; without a key
         *     it is a 404, because the line has moved.
         */
        post: operations["moveToCart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/shares": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        /**
         * List the links to the cart, without their tokens
         * @description A token is only in the answer to the request that created its link. Revoked and expired links are not listed.
         */
        get: operations["listShares"];
        put?: never;
        /**
         * Make a link to the cart
         * @description The token is in this answer only, because only its hash is stored. So a repeat makes another link. `GET` lists all
         *     links, so that you can revoke one whose token you never received.
         */
        post: operations["createShare"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/shares/{share_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
                share_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Revoke a link, at once
         * @description From then on, requests with its token are a 404. A link that does not exist, or no longer, is a 204 too.
         */
        delete: operations["revokeShare"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/copy": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Copy a shared cart into this one
         * @description This follows the rules of a merge, but the source stays as it is, and saved lines are not copied. A repeat adds the
         *     lines again, unless it has the same `Idempotency-Key`.
         */
        post: operations["copySharedCart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/shared/{token}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                token: string;
            };
            cookie?: never;
        };
        /**
         * Get the cart behind a link
         * @description The answer does not contain the owner's id.
         */
        get: operations["getSharedCart"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/shared/{token}/items": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                token: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Add an item to a shared cart, if the link allows it
         * @description The rules are the same as for the owner, except for the `Idempotency-Key`: it must be a UUID, unless you also send a
         *     bearer token; if that is not valid, the answer is 401. It is 404 if the link was revoked while the request was
         *     carried out.
         */
        post: operations["addSharedItem"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/shared/{token}/items/{product_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                token: string;
                product_id: number;
            };
            cookie?: never;
        };
        get?: never;
        /**
         * Set the quantity of a line of a shared cart, if the link allows it
         * @description The rules are the same as for the owner.
         */
        put: operations["setSharedQuantity"];
        post?: never;
        /**
         * Remove a line of a shared cart, if the link allows it
         * @description The rules are the same as for the owner.
         */
        delete: operations["removeSharedItem"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/products/{product_id}/price": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                product_id: number;
            };
            cookie?: never;
        };
        get?: never;
        /**
         * Change a product's price in all carts
         * @description Every line of the product, in carts and saved, will show the new price. The answer is the job that does this in the
         *     background. Of two changes, the one with the newer `changed_at` counts, in whatever order they arrive. The same
         *     change twice is one job. Needs the admin scope.
         */
        put: operations["changePrice"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/products/{product_id}/price-changes/{job_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                product_id: number;
                job_id: string;
            };
            cookie?: never;
        };
        /**
         * Get the progress of a price change
         * @description If the job's worker has crashed, this request makes another one resume it. Needs the admin scope.
         */
        get: operations["getPriceChange"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/products/{product_id}/carts": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                product_id: number;
            };
            cookie?: never;
        };
        /**
         * List the carts that hold a product, and the saved lists
         * @description A page can have fewer lines than the limit, because expired lines are left out: read on as long as there is a
         *     `next_cursor`. A line that was added in the last second may be missing. Needs the admin scope.
         */
        get: operations["listCartsWithProduct"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/cart/{user_id}/price-changes/accept": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Accept the current prices, of all lines of the cart or of some products
         * @description The current price of each line becomes its price. Accepting again changes nothing. With `If-Match` and the cart's
         *     ETag, only if the cart has not changed, so that no price is accepted that the shopper has not seen; else 412, with
         *     the current cart.
         */
        post: operations["acceptPriceChanges"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/summary": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get what all carts hold now, and what was added and removed on each day
         * @description As CSV only the days. Costs two Query.
         */
        get: operations["getSummary"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/products": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the top products of all carts
         * @description Of products with the same figure, the one with the smaller id comes first. Costs four Query and a BatchGetItem,
         *     whatever the number of products.
         */
        get: operations["getTopProducts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/products/{product_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                product_id: number;
            };
            cookie?: never;
        };
        /**
         * Get how much all carts hold of a product
         * @description Zeros if no cart holds it. Costs one Query.
         */
        get: operations["getProductTotals"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/abandonment": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get what was abandoned on each day, next to what was added
         * @description A line is abandoned when DynamoDB deletes it after it has expired. So the lines abandoned on a day are not those
         *     that were added on that day, and a rate can be greater than 1. As CSV only the days. Costs one Query.
         */
        get: operations["getAbandonment"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check that the process runs
         * @description It does not call DynamoDB.
         */
        get: operations["getHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Check that the table answers
         * @description Otherwise the answer is 429 or 503.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description The code of a message, by which a front end can show a text of its own */
        ErrorCode: {
            /**
             * @description Stable name of the message
             * @example out-of-range
             */
            code: string;
            /**
             * @description The values in the message
             * @example {
             *       "min": 1,
             *       "max": 999
             *     }
             */
            params: {
                [key: string]: unknown;
            };
        };
        /** @description A field of the path or the body is missing, unknown or outside its limits. */
        InvalidInputProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:invalid-input";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        /** @description The service has a defect. Its log has the details under the request id. */
        InternalErrorProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:internal-error";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description There is no token, or the token is not valid. */
        UnauthenticatedProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:unauthenticated";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description The caller may not access this cart or route. The answer does not tell whether it exists. */
        ForbiddenProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:forbidden";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description DynamoDB limits the rate of requests. Nothing was changed, but a clear may be half done. */
        ThrottledProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:throttled";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description DynamoDB cannot be reached, or is too slow. Nothing was changed, but a clear may be half done. */
        UnavailableProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:unavailable";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description The catalogue does not know the product. */
        ProductNotFoundProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:product-not-found";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description The line would have more than ``CART_MAX_QUANTITY`` units. Nothing was changed. */
        QuantityLimitProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:quantity-limit";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
            /**
             * Format: int32
             * @description Units that a line may have
             */
            limit: number;
            /**
             * Format: int32
             * @description Units that the line has
             */
            quantity: number;
        };
        /** @description The cart or the saved list would have more than ``CART_MAX_LINES`` lines. Nothing was changed. */
        LinesLimitProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:lines-limit";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /**
             * Format: int32
             * @description Lines that the list may have
             */
            limit: number;
        };
        /** @description The line would have more units than are in stock, and more than it has now. Nothing was changed. */
        InsufficientStockProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:insufficient-stock";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
            /**
             * Format: int32
             * @description Units in stock
             */
            available: number;
            /**
             * Format: int32
             * @description Units that the line has; absent if it has none, or they are not known
             */
            quantity?: number;
        };
        /** @description The catalogue's data of this product cannot be understood. Nothing was changed. A repeat does not help. */
        ProductUnreadableProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:product-unreadable";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        QuantityLimitOrLinesLimitOrInsufficientStockOrProductUnreadableProblem: components["schemas"]["QuantityLimitProblem"] | components["schemas"]["LinesLimitProblem"] | components["schemas"]["InsufficientStockProblem"] | components["schemas"]["ProductUnreadableProblem"];
        /** @description The body is not JSON in UTF-8, or not compressed as ``Content-Encoding`` says. */
        MalformedJsonProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:malformed-json";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        /** @description The HTTP request itself cannot be read. */
        BadRequestProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:bad-request";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors?: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes?: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        MalformedJsonOrBadRequestProblem: components["schemas"]["MalformedJsonProblem"] | components["schemas"]["BadRequestProblem"];
        /** @description The body is larger than 64 KiB, as it is sent or after its ``Content-Encoding`` is decoded. */
        BodyTooLargeProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:body-too-large";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        /** @description The header ``Content-Type: application/json`` is missing. */
        UnsupportedMediaTypeProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:unsupported-media-type";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        /** @description ``Content-Encoding`` names another coding than ``gzip``. The header ``Accept-Encoding`` says what is valid. */
        UnsupportedContentEncodingProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:unsupported-content-encoding";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        UnsupportedMediaTypeOrUnsupportedContentEncodingProblem: components["schemas"]["UnsupportedMediaTypeProblem"] | components["schemas"]["UnsupportedContentEncodingProblem"];
        /** @description The ``Idempotency-Key`` was used before with another request. Nothing was changed. */
        IdempotencyKeyReusedProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:idempotency-key-reused";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        InvalidInputOrIdempotencyKeyReusedProblem: components["schemas"]["InvalidInputProblem"] | components["schemas"]["IdempotencyKeyReusedProblem"];
        /** @description The catalogue cannot be reached, is too slow, fails, or refuses the service's token. Nothing was changed. */
        CatalogUnavailableProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:catalog-unavailable";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description The answer to a change was lost, or it is half done. Repeat it with its ``Idempotency-Key``, or read the cart. */
        OutcomeUnknownProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:outcome-unknown";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        UnavailableOrCatalogUnavailableOrOutcomeUnknownProblem: components["schemas"]["UnavailableProblem"] | components["schemas"]["CatalogUnavailableProblem"] | components["schemas"]["OutcomeUnknownProblem"];
        /** @description The cart or the saved list has no line of this product, or the line has expired. */
        LineNotFoundProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:line-not-found";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        LineNotFoundOrProductNotFoundProblem: components["schemas"]["LineNotFoundProblem"] | components["schemas"]["ProductNotFoundProblem"];
        InsufficientStockOrProductUnreadableProblem: components["schemas"]["InsufficientStockProblem"] | components["schemas"]["ProductUnreadableProblem"];
        /** @description ``If-Match`` names another version than the line's current one. Nothing was changed. */
        LineVersionConflictProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:version-conflict";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description The line as it is now; null: it is not there any more */
            current: components["schemas"]["Line"] | null;
        };
        UnavailableOrOutcomeUnknownProblem: components["schemas"]["UnavailableProblem"] | components["schemas"]["OutcomeUnknownProblem"];
        /** @description The service has no catalogue, which it needs to validate a cart: ``CATALOG_URL`` is not set. */
        NoCatalogProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:no-catalog";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        /** @description ``If-Match`` names another version than the cart's current one. Nothing was changed. */
        CartVersionConflictProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:version-conflict";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description The cart as it is now */
            current: components["schemas"]["Cart"];
        };
        Guest: {
            /** @description Cannot be guessed; whoever has it can use the cart */
            user_id: string;
        };
        Line: {
            /** Format: int64 */
            product_id: number;
            product_name: string;
            /**
             * Format: int32
             * @description Units
             */
            quantity: number;
            /**
             * Format: double
             * @description Of one unit, as last added or accepted
             */
            price: number;
            /**
             * Format: double
             * @description price × quantity
             */
            subtotal: number;
            /**
             * Format: date-time
             * @description ISO 8601, UTC
             */
            added_at: string;
            /**
             * Format: int64
             * @description In double quotes, this is the line's ETag
             */
            version: number;
            /**
             * Format: double
             * @description Of one unit, if the price has changed and was not accepted yet
             */
            current_price?: number;
            /**
             * Format: date-time
             * @description When the price changed; only with `current_price`
             */
            price_changed_at?: string;
        };
        CartAndSaved: {
            user_id: string;
            /** @description In the order in which they were added */
            items: components["schemas"]["Line"][];
            /**
             * Format: int32
             * @description Units, not lines
             */
            total_items: number;
            /**
             * Format: double
             * @description Sum of the subtotals
             */
            total_price: number;
            /**
             * Format: int32
             * @description Lines that have a `current_price`
             */
            price_changes: number;
            /** @description With `include=saved`; not part of any total */
            saved?: components["schemas"]["Line"][];
        };
        Item: {
            /** Format: int64 */
            product_id: number;
            product_name: string;
            /**
             * Format: int32
             * @description Units
             */
            quantity: number;
            /**
             * Format: double
             * @description Of one unit; at most two decimals
             */
            price: number;
        };
        QuantityRequest: {
            /**
             * Format: int32
             * @description Units
             */
            quantity: number;
        };
        MergeRequest: {
            /**
             * @description The quantity of a product that both have: `sum` of both, `max`, `keep` (the target's) or `replace` (the source's)
             * @default sum
             * @enum {string}
             */
            strategy?: "sum" | "max" | "keep" | "replace";
            /**
             * @description Answer what would be done, and change nothing
             * @default false
             */
            dry_run?: boolean;
            /** @description A guest's cart; with the admin scope, any cart */
            source_user_id: string;
        };
        QuantityAtPrice: {
            /**
             * Format: int32
             * @description Units
             */
            quantity: number;
            /**
             * Format: double
             * @description Of one unit
             */
            price: number;
        };
        ReceiptLine: {
            /** Format: int64 */
            product_id: number;
            product_name: string;
            /**
             * @description The source's list: its cart, or what is saved for later
             * @enum {string}
             */
            place: "cart" | "saved";
            /**
             * @description The strategy; if the target did not have the product: `move`, or `copy` in a copy
             * @enum {string}
             */
            rule: "sum" | "max" | "keep" | "replace" | "move" | "copy";
            /** @description The source's line before */
            source: components["schemas"]["QuantityAtPrice"];
            /** @description The target's line before; null: it had none */
            target: components["schemas"]["QuantityAtPrice"] | null;
            /** @description The target's line after; null: the line stayed in the source */
            result: components["schemas"]["QuantityAtPrice"] | null;
            /** @description Whose price and name are newer and were kept: `source` or `target` */
            price_from: ("source" | "target") | null;
            /**
             * Format: int32
             * @description Units that were removed, since they exceed the limit
             */
            cut: number;
            /** @description `quantity-limit`: units were removed; `lines-limit`: the line stayed in the source */
            reason: ("quantity-limit" | "lines-limit") | null;
        };
        Receipt: {
            /** @enum {string} */
            strategy: "sum" | "max" | "keep" | "replace";
            dry_run: boolean;
            lines: components["schemas"]["ReceiptLine"][];
            /** @description The target after the change */
            cart: components["schemas"]["CartAndSaved"];
        };
        LineProblem: {
            /**
             * @description `price_changed`: the catalogue has another price; `out_of_stock`: none is in stock; `insufficient_stock`: fewer units are in stock than the line has; `discontinued`: the catalogue does not know the product any more; `unreadable`: its data of the product cannot be understood
             * @enum {string}
             */
            type: "price_changed" | "out_of_stock" | "insufficient_stock" | "discontinued" | "unreadable";
            /**
             * Format: double
             * @description With `price_changed`: the line's price
             */
            old?: number;
            /**
             * Format: double
             * @description With `price_changed`: the catalogue's
             */
            new?: number;
            /**
             * Format: int32
             * @description With `insufficient_stock`: units in stock
             */
            available?: number;
        };
        LineFix: {
            /**
             * Format: int32
             * @description Of the line after the fix
             */
            quantity: number;
            /**
             * Format: double
             * @description Of the line after the fix
             */
            price: number;
            /**
             * @description `changed`: the line was corrected; `saved_for_later`: it was moved to the saved list; `left`: it is unchanged, because the saved list has no room for it or its product is `unreadable`
             * @enum {string}
             */
            action: "changed" | "saved_for_later" | "left";
            /**
             * Format: int32
             * @description Units that were removed, since they exceed the stock or the limit
             */
            cut: number;
        };
        CheckedLine: {
            /** Format: int64 */
            product_id: number;
            product_name: string;
            /**
             * Format: int32
             * @description Before the fix
             */
            quantity: number;
            /**
             * Format: double
             * @description Before the fix
             */
            price: number;
            /** @description Empty if the line is right */
            problems: components["schemas"]["LineProblem"][];
            /** @description With `fix=true`, if the line had a problem */
            fix?: components["schemas"]["LineFix"];
        };
        Validation: {
            /** @description No line has a problem; with `fix=true`: after the fix */
            valid: boolean;
            lines: components["schemas"]["CheckedLine"][];
            /** @description With `fix=true`: the cart after the fix */
            cart?: components["schemas"]["CartAndSaved"];
        };
        QuantityLimitOrLinesLimitOrProductUnreadableProblem: components["schemas"]["QuantityLimitProblem"] | components["schemas"]["LinesLimitProblem"] | components["schemas"]["ProductUnreadableProblem"];
        Saved: {
            user_id: string;
            /** @description In the order in which they were added */
            items: components["schemas"]["Line"][];
        };
        MovedLine: {
            /** Format: int64 */
            product_id: number;
            product_name: string;
            /**
             * Format: int32
             * @description Units
             */
            quantity: number;
            /**
             * Format: double
             * @description Of one unit, as last added or accepted
             */
            price: number;
            /**
             * Format: double
             * @description price × quantity
             */
            subtotal: number;
            /**
             * Format: date-time
             * @description ISO 8601, UTC
             */
            added_at: string;
            /**
             * Format: int64
             * @description In double quotes, this is the line's ETag
             */
            version: number;
            /**
             * Format: double
             * @description Of one unit, if the price has changed and was not accepted yet
             */
            current_price?: number;
            /**
             * Format: date-time
             * @description When the price changed; only with `current_price`
             */
            price_changed_at?: string;
            /**
             * Format: int32
             * @description Units that were removed, since they exceed the limit
             */
            cut: number;
        };
        /** @description The cart would have more than ``CART_MAX_SHARES`` links. Nothing was changed. */
        SharesLimitProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:shares-limit";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /**
             * Format: int32
             * @description Links that a cart may have
             */
            limit: number;
        };
        /** @description The link is unknown, revoked or expired. */
        ShareNotFoundProblem: {
            /**
             * @description discriminator enum property added by openapi-typescript
             * @enum {string}
             */
            type: "urn:cart:problem:share-not-found";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        ShareNotFoundOrProductNotFoundProblem: components["schemas"]["ShareNotFoundProblem"] | components["schemas"]["ProductNotFoundProblem"];
        ShareNotFoundOrLineNotFoundOrProductNotFoundProblem: components["schemas"]["ShareNotFoundProblem"] | components["schemas"]["LineNotFoundProblem"] | components["schemas"]["ProductNotFoundProblem"];
        ShareRequest: {
            /**
             * @description `view`: whoever has the link can see the cart; `edit`: and change it
             * @default view
             * @enum {string}
             */
            access?: "view" | "edit";
            /**
             * Format: int32
             * @default 7
             */
            expires_in_days?: number;
        };
        ShareWithToken: {
            /** @description By which the owner revokes the link */
            share_id: string;
            /**
             * @description `view`: whoever has the link can see the cart; `edit`: and change it
             * @enum {string}
             */
            access: "view" | "edit";
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            expires_at: string;
            /** @description In this answer only: the service stores its hash */
            token: string;
        };
        Share: {
            /** @description By which the owner revokes the link */
            share_id: string;
            /**
             * @description `view`: whoever has the link can see the cart; `edit`: and change it
             * @enum {string}
             */
            access: "view" | "edit";
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            expires_at: string;
        };
        ShareList: {
            shares: components["schemas"]["Share"][];
        };
        CopyRequest: {
            /**
             * @description The quantity of a product that both have: `sum` of both, `max`, `keep` (the target's) or `replace` (the source's)
             * @default sum
             * @enum {string}
             */
            strategy?: "sum" | "max" | "keep" | "replace";
            /**
             * @description Answer what would be done, and change nothing
             * @default false
             */
            dry_run?: boolean;
            share_token: string;
        };
        SharedCart: {
            /**
             * @description `view`: whoever has the link can see the cart; `edit`: and change it
             * @enum {string}
             */
            access: "view" | "edit";
            /** Format: date-time */
            expires_at: string;
            /** @description In the order in which they were added */
            items: components["schemas"]["Line"][];
            /**
             * Format: int32
             * @description Units, not lines
             */
            total_items: number;
            /**
             * Format: double
             * @description Sum of the subtotals
             */
            total_price: number;
            /**
             * Format: int32
             * @description Lines that have a `current_price`
             */
            price_changes: number;
        };
        /** @description The product has no job with this id, or the job is older than 7 days. */
        JobNotFoundProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:job-not-found";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
        };
        PriceRequest: {
            /**
             * Format: double
             * @description Of one unit; at most two decimals
             */
            price: number;
            /**
             * Format: date-time
             * @description When the price changed, by the clock of the products service; by default now
             */
            changed_at?: string;
        };
        PriceJob: {
            job_id: string;
            /** Format: int64 */
            product_id: number;
            /**
             * Format: double
             * @description The new price of one unit
             */
            price: number;
            /**
             * Format: date-time
             * @description When the price changed, by the clock of the products service
             */
            changed_at: string;
            /**
             * Format: date-time
             * @description When the change arrived here
             */
            created_at: string;
            /**
             * @description `done`: all lines of the product were processed
             * @enum {string}
             */
            status: "running" | "done";
            /**
             * Format: int32
             * @description Lines that were processed so far, in carts and saved
             */
            seen: number;
            /**
             * Format: int32
             * @description Lines of these that show the new price now
             */
            changed: number;
            /**
             * Format: int32
             * @description Lines of these that were removed or had expired, or have a newer price change
             */
            skipped: number;
        };
        Holder: {
            user_id: string;
            /**
             * @description The list that has the line: the cart, or what is saved for later
             * @enum {string}
             */
            place: "cart" | "saved";
            /**
             * Format: int32
             * @description Units
             */
            quantity: number;
            /**
             * Format: double
             * @description Of one unit, as last added or accepted
             */
            price: number;
            /** Format: date-time */
            added_at: string;
        };
        Holders: {
            /** Format: int64 */
            product_id: number;
            /** @description Can be fewer than the limit, or none, because expired lines are left out */
            carts: components["schemas"]["Holder"][];
            /** @description For the next page; null: this is the last one */
            next_cursor: string | null;
        };
        AcceptRequest: {
            /** @description By default all products of the cart */
            product_ids?: number[];
        };
        Cart: {
            user_id: string;
            /** @description In the order in which they were added */
            items: components["schemas"]["Line"][];
            /**
             * Format: int32
             * @description Units, not lines
             */
            total_items: number;
            /**
             * Format: double
             * @description Sum of the subtotals
             */
            total_price: number;
            /**
             * Format: int32
             * @description Lines that have a `current_price`
             */
            price_changes: number;
        };
        /** @description ``Accept`` allows neither JSON nor CSV. */
        NotAcceptableProblem: {
            /** @enum {string} */
            type: "urn:cart:problem:not-acceptable";
            /** @description The same for all problems of a type */
            title: string;
            /** Format: int32 */
            status: number;
            /** @description What happened and what to do, for developers */
            detail: string;
            /** @description The request id, which the log lines contain too */
            instance: string;
            /** @description Messages by field, parameter or header */
            errors: {
                [key: string]: string[];
            };
            /** @description For each message in `errors`, in the same order, its code */
            error_codes: {
                [key: string]: components["schemas"]["ErrorCode"][];
            };
        };
        Totals: {
            /** Format: int64 */
            lines: number;
            /** Format: int64 */
            units: number;
            /**
             * Format: double
             * @description price × quantity
             */
            value: number;
        };
        DailyChanges: {
            /**
             * Format: date
             * @description UTC
             */
            day: string;
            /** Format: int64 */
            lines_added: number;
            /** Format: int64 */
            lines_removed: number;
            /** Format: int64 */
            units_added: number;
            /** Format: double */
            value_added: number;
            /** Format: int64 */
            carts_cleared: number;
            /**
             * Format: int64
             * @description Lines that were deleted after they had expired
             */
            lines_abandoned: number;
            /** Format: double */
            value_abandoned: number;
        };
        Summary: {
            /** Format: date */
            from: string;
            /** Format: date */
            to: string;
            /** @description What all carts hold now */
            totals: components["schemas"]["Totals"];
            days: components["schemas"]["DailyChanges"][];
        };
        ProductTotals: {
            /** Format: int64 */
            product_id: number;
            /**
             * Format: int64
             * @description Carts that hold the product
             */
            carts: number;
            /** Format: int64 */
            units: number;
            /**
             * Format: double
             * @description price × quantity
             */
            value: number;
        };
        ProductRanking: {
            /**
             * @description The figure by which the products are ranked
             * @enum {string}
             */
            sort: "units" | "carts" | "value";
            products: components["schemas"]["ProductTotals"][];
        };
        Flows: {
            /** Format: int64 */
            lines_added: number;
            /** Format: double */
            value_added: number;
            /** Format: int64 */
            lines_abandoned: number;
            /** Format: double */
            value_abandoned: number;
            /**
             * Format: double
             * @description Lines abandoned for each added; null if nothing was added
             */
            lines_rate: number | null;
            /**
             * Format: double
             * @description Value abandoned for each added; null if nothing was added
             */
            value_rate: number | null;
        };
        FlowsOfDay: {
            /**
             * Format: date
             * @description UTC
             */
            day: string;
            /** Format: int64 */
            lines_added: number;
            /** Format: double */
            value_added: number;
            /** Format: int64 */
            lines_abandoned: number;
            /** Format: double */
            value_abandoned: number;
            /**
             * Format: double
             * @description Lines abandoned for each added; null if nothing was added
             */
            lines_rate: number | null;
            /**
             * Format: double
             * @description Value abandoned for each added; null if nothing was added
             */
            value_rate: number | null;
        };
        Abandonment: {
            /** Format: date */
            from: string;
            /** Format: date */
            to: string;
            /** @description Of the whole period */
            total: components["schemas"]["Flows"];
            days: components["schemas"]["FlowsOfDay"][];
        };
        Health: {
            /** @enum {string} */
            status: "ok";
        };
    };
    responses: {
        /** @description A field of the path or the body is missing, unknown or outside its limits. */
        InvalidInput: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InvalidInputProblem"];
            };
        };
        /** @description The service has a defect. Its log has the details under the request id. */
        InternalError: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InternalErrorProblem"];
            };
        };
        /** @description There is no token, or the token is not valid. */
        Unauthenticated: {
            headers: {
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnauthenticatedProblem"];
            };
        };
        /** @description The caller may not access this cart or route. The answer does not tell whether it exists. */
        Forbidden: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ForbiddenProblem"];
            };
        };
        /** @description DynamoDB limits the rate of requests. Nothing was changed, but a clear may be half done. */
        Throttled: {
            headers: {
                "Retry-After": components["headers"]["Retry-After"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ThrottledProblem"];
            };
        };
        /** @description DynamoDB cannot be reached, or is too slow. Nothing was changed, but a clear may be half done. */
        Unavailable: {
            headers: {
                "Retry-After": components["headers"]["Retry-After"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnavailableProblem"];
            };
        };
        /** @description The body is not JSON in UTF-8, or not compressed as ``Content-Encoding`` says. Or: The HTTP request itself cannot be read. */
        MalformedJsonOrBadRequest: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["MalformedJsonOrBadRequestProblem"];
            };
        };
        /** @description The catalogue does not know the product. */
        ProductNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ProductNotFoundProblem"];
            };
        };
        /** @description The line would have more than ``CART_MAX_QUANTITY`` units. Nothing was changed. Or: The cart or the saved list would have more than ``CART_MAX_LINES`` lines. Nothing was changed. Or: The line would have more units than are in stock, and more than it has now. Nothing was changed. Or: The catalogue's data of this product cannot be understood. Nothing was changed. A repeat does not help. */
        QuantityLimitOrLinesLimitOrInsufficientStockOrProductUnreadable: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["QuantityLimitOrLinesLimitOrInsufficientStockOrProductUnreadableProblem"];
            };
        };
        /** @description The body is larger than 64 KiB, as it is sent or after its ``Content-Encoding`` is decoded. */
        BodyTooLarge: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["BodyTooLargeProblem"];
            };
        };
        /** @description The header ``Content-Type: application/json`` is missing. Or: ``Content-Encoding`` names another coding than ``gzip``. The header ``Accept-Encoding`` says what is valid. */
        UnsupportedMediaTypeOrUnsupportedContentEncoding: {
            headers: {
                "Accept-Encoding": components["headers"]["Accept-Encoding"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnsupportedMediaTypeOrUnsupportedContentEncodingProblem"];
            };
        };
        /** @description A field of the path or the body is missing, unknown or outside its limits. Or: The ``Idempotency-Key`` was used before with another request. Nothing was changed. */
        InvalidInputOrIdempotencyKeyReused: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InvalidInputOrIdempotencyKeyReusedProblem"];
            };
        };
        /** @description DynamoDB cannot be reached, or is too slow. Nothing was changed, but a clear may be half done. Or: The catalogue cannot be reached, is too slow, fails, or refuses the service's token. Nothing was changed. Or: The answer to a change was lost, or it is half done. Repeat it with its ``Idempotency-Key``, or read the cart. */
        UnavailableOrCatalogUnavailableOrOutcomeUnknown: {
            headers: {
                "Retry-After": components["headers"]["Retry-After"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnavailableOrCatalogUnavailableOrOutcomeUnknownProblem"];
            };
        };
        /** @description The cart or the saved list has no line of this product, or the line has expired. Or: The catalogue does not know the product. */
        LineNotFoundOrProductNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["LineNotFoundOrProductNotFoundProblem"];
            };
        };
        /** @description The line would have more units than are in stock, and more than it has now. Nothing was changed. Or: The catalogue's data of this product cannot be understood. Nothing was changed. A repeat does not help. */
        InsufficientStockOrProductUnreadable: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["InsufficientStockOrProductUnreadableProblem"];
            };
        };
        /** @description ``If-Match`` names another version than the line's current one. Nothing was changed. */
        LineVersionConflict: {
            headers: {
                ETag: components["headers"]["ETag"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["LineVersionConflictProblem"];
            };
        };
        /** @description DynamoDB cannot be reached, or is too slow. Nothing was changed, but a clear may be half done. Or: The answer to a change was lost, or it is half done. Repeat it with its ``Idempotency-Key``, or read the cart. */
        UnavailableOrOutcomeUnknown: {
            headers: {
                "Retry-After": components["headers"]["Retry-After"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["UnavailableOrOutcomeUnknownProblem"];
            };
        };
        /** @description The service has no catalogue, which it needs to validate a cart: ``CATALOG_URL`` is not set. */
        NoCatalog: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["NoCatalogProblem"];
            };
        };
        /** @description ``If-Match`` names another version than the cart's current one. Nothing was changed. */
        CartVersionConflict: {
            headers: {
                ETag: components["headers"]["ETag"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["CartVersionConflictProblem"];
            };
        };
        /** @description The line would have more than ``CART_MAX_QUANTITY`` units. Nothing was changed. Or: The cart or the saved list would have more than ``CART_MAX_LINES`` lines. Nothing was changed. Or: The catalogue's data of this product cannot be understood. Nothing was changed. A repeat does not help. */
        QuantityLimitOrLinesLimitOrProductUnreadable: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["QuantityLimitOrLinesLimitOrProductUnreadableProblem"];
            };
        };
        /** @description The cart or the saved list has no line of this product, or the line has expired. */
        LineNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["LineNotFoundProblem"];
            };
        };
        /** @description The cart or the saved list would have more than ``CART_MAX_LINES`` lines. Nothing was changed. */
        LinesLimit: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["LinesLimitProblem"];
            };
        };
        /** @description The cart would have more than ``CART_MAX_SHARES`` links. Nothing was changed. */
        SharesLimit: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["SharesLimitProblem"];
            };
        };
        /** @description The link is unknown, revoked or expired. */
        ShareNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ShareNotFoundProblem"];
            };
        };
        /** @description The link is unknown, revoked or expired. Or: The catalogue does not know the product. */
        ShareNotFoundOrProductNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ShareNotFoundOrProductNotFoundProblem"];
            };
        };
        /** @description The link is unknown, revoked or expired. Or: The cart or the saved list has no line of this product, or the line has expired. Or: The catalogue does not know the product. */
        ShareNotFoundOrLineNotFoundOrProductNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["ShareNotFoundOrLineNotFoundOrProductNotFoundProblem"];
            };
        };
        /** @description The product has no job with this id, or the job is older than 7 days. */
        JobNotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["JobNotFoundProblem"];
            };
        };
        /** @description ``Accept`` allows neither JSON nor CSV. */
        NotAcceptable: {
            headers: {
                Vary: components["headers"]["Vary"];
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["NotAcceptableProblem"];
            };
        };
    };
    parameters: {
        /**
         * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
         * @example 5f2c9e1b7a604f0d
         */
        "X-Request-ID": string;
        /**
         * @description The ETag of the cart as you have it. If it is still current, the answer is 304 without a body.
         * @example "5d41402abc4b2a76"
         */
        "If-None-Match": string;
        /**
         * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
         * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
         */
        "Idempotency-Key": string;
        /**
         * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
         * @example "3"
         */
        "If-Match": string;
    };
    requestBodies: never;
    headers: {
        /** @description The request's id, in the service's log too */
        "X-Request-ID": string;
        /**
         * @description How to authenticate
         * @example Bearer
         */
        "WWW-Authenticate": string;
        /**
         * @description Seconds to wait before the request is sent again
         * @example 1
         */
        "Retry-After": number;
        /**
         * @description The codings that the body of a request can have
         * @example gzip
         */
        "Accept-Encoding": string;
        /**
         * @description The version of what is there now, for the next `If-Match`; absent if there is nothing
         * @example "4"
         */
        ETag: string;
        /** @description Sent if the change was made by an earlier request with the same `Idempotency-Key` */
        "Idempotency-Replayed": "true";
        /**
         * @description The headers of a request that select the format
         * @example Accept
         */
        Vary: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    createGuestCart: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /** @description The cart */
                    Location?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "user_id": "guest-7TzYh0bU2mBzXxS4o3JkP9aQcVdL1wEf"
                     *     }
                     */
                    "application/json": components["schemas"]["Guest"];
                };
            };
            422: components["responses"]["InvalidInput"];
            500: components["responses"]["InternalError"];
        };
    };
    getCart: {
        parameters: {
            query?: {
                /** @description `saved` includes what is saved for later */
                include?: "saved";
            };
            header?: {
                /**
                 * @description The ETag of the cart as you have it. If it is still current, the answer is 304 without a body.
                 * @example "5d41402abc4b2a76"
                 */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The version of the cart, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "user_id": "user123",
                     *       "items": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "quantity": 2,
                     *           "price": 19.99,
                     *           "subtotal": 39.98,
                     *           "added_at": "2026-11-23T09:30:00.123456Z",
                     *           "version": 1795426200123457
                     *         }
                     *       ],
                     *       "total_items": 2,
                     *       "total_price": 39.98,
                     *       "price_changes": 0
                     *     }
                     */
                    "application/json": components["schemas"]["CartAndSaved"];
                };
            };
            /** @description The cart has not changed: `If-None-Match` is its ETag */
            304: {
                headers: {
                    /**
                     * @description The version of the cart, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    clearCart: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The cart is empty */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            412: components["responses"]["CartVersionConflict"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    addItem: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "product_id": 42,
                 *       "product_name": "Espresso cup",
                 *       "quantity": 2,
                 *       "price": 19.99
                 *     }
                 */
                "application/json": components["schemas"]["Item"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /** @description The line */
                    Location?: string;
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457
                     *     }
                     */
                    "application/json": components["schemas"]["Line"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            409: components["responses"]["QuantityLimitOrLinesLimitOrInsufficientStockOrProductUnreadable"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrCatalogUnavailableOrOutcomeUnknown"];
        };
    };
    setQuantity: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "quantity": 3
                 *     }
                 */
                "application/json": components["schemas"]["QuantityRequest"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457
                     *     }
                     */
                    "application/json": components["schemas"]["Line"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["LineNotFoundOrProductNotFound"];
            409: components["responses"]["InsufficientStockOrProductUnreadable"];
            412: components["responses"]["LineVersionConflict"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrCatalogUnavailableOrOutcomeUnknown"];
        };
    };
    removeItem: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The line is not in the cart any more, or was not in it */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            412: components["responses"]["LineVersionConflict"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    mergeCarts: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "source_user_id": "guest-7TzYh0bU2mBzXxS4o3JkP9aQcVdL1wEf",
                 *       "strategy": "sum"
                 *     }
                 */
                "application/json": components["schemas"]["MergeRequest"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "strategy": "sum",
                     *       "dry_run": false,
                     *       "lines": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "place": "cart",
                     *           "rule": "sum",
                     *           "source": {
                     *             "quantity": 1,
                     *             "price": 19.99
                     *           },
                     *           "target": {
                     *             "quantity": 1,
                     *             "price": 21.5
                     *           },
                     *           "result": {
                     *             "quantity": 2,
                     *             "price": 19.99
                     *           },
                     *           "price_from": "source",
                     *           "cut": 0,
                     *           "reason": null
                     *         }
                     *       ],
                     *       "cart": {
                     *         "user_id": "user123",
                     *         "items": [
                     *           {
                     *             "product_id": 42,
                     *             "product_name": "Espresso cup",
                     *             "quantity": 2,
                     *             "price": 19.99,
                     *             "subtotal": 39.98,
                     *             "added_at": "2026-11-23T09:30:00.123456Z",
                     *             "version": 1795426200123457
                     *           }
                     *         ],
                     *         "total_items": 2,
                     *         "total_price": 39.98,
                     *         "price_changes": 0,
                     *         "saved": [
                     *           {
                     *             "product_id": 7,
                     *             "product_name": "Espresso cup",
                     *             "quantity": 2,
                     *             "price": 19.99,
                     *             "subtotal": 39.98,
                     *             "added_at": "2026-11-23T09:30:00.123456Z",
                     *             "version": 1795426200123457
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Receipt"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    validateCart: {
        parameters: {
            query?: {
                /** @description Correct the cart */
                fix?: boolean;
            };
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "valid": false,
                     *       "lines": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "quantity": 2,
                     *           "price": 19.99,
                     *           "problems": [
                     *             {
                     *               "type": "price_changed",
                     *               "old": 19.99,
                     *               "new": 21.5
                     *             },
                     *             {
                     *               "type": "insufficient_stock",
                     *               "available": 1
                     *             }
                     *           ]
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Validation"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            409: components["responses"]["NoCatalog"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrCatalogUnavailableOrOutcomeUnknown"];
        };
    };
    getSaved: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "user_id": "user123",
                     *       "items": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "quantity": 2,
                     *           "price": 19.99,
                     *           "subtotal": 39.98,
                     *           "added_at": "2026-11-23T09:30:00.123456Z",
                     *           "version": 1795426200123457
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Saved"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    saveItem: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "product_id": 42,
                 *       "product_name": "Espresso cup",
                 *       "quantity": 2,
                 *       "price": 19.99
                 *     }
                 */
                "application/json": components["schemas"]["Item"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /** @description The line */
                    Location?: string;
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457
                     *     }
                     */
                    "application/json": components["schemas"]["Line"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ProductNotFound"];
            409: components["responses"]["QuantityLimitOrLinesLimitOrProductUnreadable"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrCatalogUnavailableOrOutcomeUnknown"];
        };
    };
    removeSaved: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The line is not saved any more, or was not saved */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            412: components["responses"]["LineVersionConflict"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    saveForLater: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /** @description The line */
                    Location?: string;
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457,
                     *       "cut": 0
                     *     }
                     */
                    "application/json": components["schemas"]["MovedLine"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["LineNotFound"];
            409: components["responses"]["LinesLimit"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    moveToCart: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /** @description The line */
                    Location?: string;
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457,
                     *       "cut": 0
                     *     }
                     */
                    "application/json": components["schemas"]["MovedLine"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["LineNotFound"];
            409: components["responses"]["LinesLimit"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    listShares: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "shares": [
                     *         {
                     *           "share_id": "9f2c5b7d1e4a8036bf6d3c1a7e90d45b2f8c6a1e3d7b9054c8f1a2e6d3b7c590",
                     *           "access": "view",
                     *           "created_at": "2026-11-23T09:30:00.123456Z",
                     *           "expires_at": "2026-11-30T09:30:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ShareList"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    createShare: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "access": "view",
                 *       "expires_in_days": 7
                 *     }
                 */
                "application/json": components["schemas"]["ShareRequest"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /** @description The shared cart */
                    Location?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "share_id": "9f2c5b7d1e4a8036bf6d3c1a7e90d45b2f8c6a1e3d7b9054c8f1a2e6d3b7c590",
                     *       "access": "view",
                     *       "created_at": "2026-11-23T09:30:00.123456Z",
                     *       "expires_at": "2026-11-30T09:30:00Z",
                     *       "token": "q0sWmcXwJ1kqkz8XyT3nH4v7bA9eRfLd"
                     *     }
                     */
                    "application/json": components["schemas"]["ShareWithToken"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            409: components["responses"]["SharesLimit"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    revokeShare: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
                share_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The link does not work any more, or did not exist */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    copySharedCart: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "share_token": "q0sWmcXwJ1kqkz8XyT3nH4v7bA9eRfLd",
                 *       "strategy": "sum"
                 *     }
                 */
                "application/json": components["schemas"]["CopyRequest"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "strategy": "sum",
                     *       "dry_run": false,
                     *       "lines": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "place": "cart",
                     *           "rule": "sum",
                     *           "source": {
                     *             "quantity": 1,
                     *             "price": 19.99
                     *           },
                     *           "target": {
                     *             "quantity": 1,
                     *             "price": 21.5
                     *           },
                     *           "result": {
                     *             "quantity": 2,
                     *             "price": 19.99
                     *           },
                     *           "price_from": "source",
                     *           "cut": 0,
                     *           "reason": null
                     *         }
                     *       ],
                     *       "cart": {
                     *         "user_id": "user123",
                     *         "items": [
                     *           {
                     *             "product_id": 42,
                     *             "product_name": "Espresso cup",
                     *             "quantity": 2,
                     *             "price": 19.99,
                     *             "subtotal": 39.98,
                     *             "added_at": "2026-11-23T09:30:00.123456Z",
                     *             "version": 1795426200123457
                     *           }
                     *         ],
                     *         "total_items": 2,
                     *         "total_price": 39.98,
                     *         "price_changes": 0,
                     *         "saved": [
                     *           {
                     *             "product_id": 7,
                     *             "product_name": "Espresso cup",
                     *             "quantity": 2,
                     *             "price": 19.99,
                     *             "subtotal": 39.98,
                     *             "added_at": "2026-11-23T09:30:00.123456Z",
                     *             "version": 1795426200123457
                     *           }
                     *         ]
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Receipt"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ShareNotFound"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    getSharedCart: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                token: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access": "view",
                     *       "expires_at": "2026-11-30T09:30:00Z",
                     *       "items": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "quantity": 2,
                     *           "price": 19.99,
                     *           "subtotal": 39.98,
                     *           "added_at": "2026-11-23T09:30:00.123456Z",
                     *           "version": 1795426200123457
                     *         }
                     *       ],
                     *       "total_items": 2,
                     *       "total_price": 39.98,
                     *       "price_changes": 0
                     *     }
                     */
                    "application/json": components["schemas"]["SharedCart"];
                };
            };
            404: components["responses"]["ShareNotFound"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    addSharedItem: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description A new key for each new change. A request with the same key and the same content within 24 hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.
                 * @example "8e03978e-40d5-43e8-bc93-6894a57f9324"
                 */
                "Idempotency-Key"?: components["parameters"]["Idempotency-Key"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                token: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "product_id": 42,
                 *       "product_name": "Espresso cup",
                 *       "quantity": 2,
                 *       "price": 19.99
                 *     }
                 */
                "application/json": components["schemas"]["Item"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /** @description The line */
                    Location?: string;
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Idempotency-Replayed": components["headers"]["Idempotency-Replayed"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457
                     *     }
                     */
                    "application/json": components["schemas"]["Line"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ShareNotFoundOrProductNotFound"];
            409: components["responses"]["QuantityLimitOrLinesLimitOrInsufficientStockOrProductUnreadable"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInputOrIdempotencyKeyReused"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrCatalogUnavailableOrOutcomeUnknown"];
        };
    };
    setSharedQuantity: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                token: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "quantity": 3
                 *     }
                 */
                "application/json": components["schemas"]["QuantityRequest"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The version of the line, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "product_name": "Espresso cup",
                     *       "quantity": 2,
                     *       "price": 19.99,
                     *       "subtotal": 39.98,
                     *       "added_at": "2026-11-23T09:30:00.123456Z",
                     *       "version": 1795426200123457
                     *     }
                     */
                    "application/json": components["schemas"]["Line"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ShareNotFoundOrLineNotFoundOrProductNotFound"];
            409: components["responses"]["InsufficientStockOrProductUnreadable"];
            412: components["responses"]["LineVersionConflict"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrCatalogUnavailableOrOutcomeUnknown"];
        };
    };
    removeSharedItem: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                token: string;
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The line is not in the cart any more, or was not in it */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            403: components["responses"]["Forbidden"];
            404: components["responses"]["ShareNotFound"];
            412: components["responses"]["LineVersionConflict"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    changePrice: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                product_id: number;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "price": 21.5,
                 *       "changed_at": "2026-11-23T14:00:00Z"
                 *     }
                 */
                "application/json": components["schemas"]["PriceRequest"];
            };
        };
        responses: {
            /** @description Accepted */
            202: {
                headers: {
                    /** @description The job */
                    Location?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "job_id": "0c9d1b7e5a3f48629d7e4b1c8a6f3520",
                     *       "product_id": 42,
                     *       "price": 21.5,
                     *       "changed_at": "2026-11-23T14:00:00.000000Z",
                     *       "created_at": "2026-11-23T14:02:11.123456Z",
                     *       "status": "running",
                     *       "seen": 300,
                     *       "changed": 298,
                     *       "skipped": 2
                     *     }
                     */
                    "application/json": components["schemas"]["PriceJob"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    getPriceChange: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                product_id: number;
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "job_id": "0c9d1b7e5a3f48629d7e4b1c8a6f3520",
                     *       "product_id": 42,
                     *       "price": 21.5,
                     *       "changed_at": "2026-11-23T14:00:00.000000Z",
                     *       "created_at": "2026-11-23T14:02:11.123456Z",
                     *       "status": "running",
                     *       "seen": 300,
                     *       "changed": 298,
                     *       "skipped": 2
                     *     }
                     */
                    "application/json": components["schemas"]["PriceJob"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["JobNotFound"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    listCartsWithProduct: {
        parameters: {
            query?: {
                /** @description Lines to read; expired ones are left out of the answer */
                limit?: number;
                /** @description The `next_cursor` of the previous answer */
                cursor?: string;
            };
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "carts": [
                     *         {
                     *           "user_id": "user123",
                     *           "place": "cart",
                     *           "quantity": 2,
                     *           "price": 19.99,
                     *           "added_at": "2026-11-23T09:30:00.123456Z"
                     *         }
                     *       ],
                     *       "next_cursor": "Y2FydCB1c2VyMTIz"
                     *     }
                     */
                    "application/json": components["schemas"]["Holders"];
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    acceptPriceChanges: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An ETag of what this operation changes. The change is made only if the ETag is still current; otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands for anything that exists.
                 * @example "3"
                 */
                "If-Match"?: components["parameters"]["If-Match"];
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "product_ids": [
                 *         42
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["AcceptRequest"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The version of the cart, for `If-Match`
                     * @example "3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "user_id": "user123",
                     *       "items": [
                     *         {
                     *           "product_id": 42,
                     *           "product_name": "Espresso cup",
                     *           "quantity": 2,
                     *           "price": 19.99,
                     *           "subtotal": 39.98,
                     *           "added_at": "2026-11-23T09:30:00.123456Z",
                     *           "version": 1795426200123457
                     *         }
                     *       ],
                     *       "total_items": 2,
                     *       "total_price": 39.98,
                     *       "price_changes": 0
                     *     }
                     */
                    "application/json": components["schemas"]["Cart"];
                };
            };
            400: components["responses"]["MalformedJsonOrBadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            412: components["responses"]["CartVersionConflict"];
            413: components["responses"]["BodyTooLarge"];
            415: components["responses"]["UnsupportedMediaTypeOrUnsupportedContentEncoding"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["UnavailableOrOutcomeUnknown"];
        };
    };
    getSummary: {
        parameters: {
            query?: {
                /** @description The first UTC day; by default 30 days up to the last one */
                from?: string;
                /** @description The last UTC day, today by default; 366 days at most */
                to?: string;
            };
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    Vary: components["headers"]["Vary"];
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-11-23",
                     *       "to": "2026-11-23",
                     *       "totals": {
                     *         "lines": 812,
                     *         "units": 2044,
                     *         "value": 30410.15
                     *       },
                     *       "days": [
                     *         {
                     *           "day": "2026-11-23",
                     *           "lines_added": 120,
                     *           "lines_removed": 14,
                     *           "units_added": 310,
                     *           "value_added": 5120.4,
                     *           "carts_cleared": 3,
                     *           "lines_abandoned": 22,
                     *           "value_abandoned": 640.05
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Summary"];
                    /**
                     * @example day,lines_added,lines_removed,units_added,value_added,carts_cleared,lines_abandoned,value_abandoned
                     *     2026-11-23,120,14,310,5120.40,3,22,640.05
                     */
                    "text/csv": string;
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getTopProducts: {
        parameters: {
            query?: {
                /** @description The figure by which products are ranked */
                sort?: "units" | "carts" | "value";
                /** @description The most products in the answer */
                limit?: number;
            };
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    Vary: components["headers"]["Vary"];
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "sort": "units",
                     *       "products": [
                     *         {
                     *           "product_id": 42,
                     *           "carts": 17,
                     *           "units": 40,
                     *           "value": 799.6
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["ProductRanking"];
                    /**
                     * @example product_id,carts,units,value
                     *     42,17,40,799.60
                     */
                    "text/csv": string;
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getProductTotals: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path: {
                product_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    Vary: components["headers"]["Vary"];
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "product_id": 42,
                     *       "carts": 17,
                     *       "units": 40,
                     *       "value": 799.6
                     *     }
                     */
                    "application/json": components["schemas"]["ProductTotals"];
                    /**
                     * @example product_id,carts,units,value
                     *     42,17,40,799.60
                     */
                    "text/csv": string;
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getAbandonment: {
        parameters: {
            query?: {
                /** @description The first UTC day; by default 30 days up to the last one */
                from?: string;
                /** @description The last UTC day, today by default; 366 days at most */
                to?: string;
            };
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    Vary: components["headers"]["Vary"];
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-11-23",
                     *       "to": "2026-11-23",
                     *       "total": {
                     *         "lines_added": 120,
                     *         "value_added": 5120.4,
                     *         "lines_abandoned": 22,
                     *         "value_abandoned": 640.05,
                     *         "lines_rate": 0.1833,
                     *         "value_rate": 0.125
                     *       },
                     *       "days": [
                     *         {
                     *           "day": "2026-11-23",
                     *           "lines_added": 120,
                     *           "value_added": 5120.4,
                     *           "lines_abandoned": 22,
                     *           "value_abandoned": 640.05,
                     *           "lines_rate": 0.1833,
                     *           "value_rate": 0.125
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Abandonment"];
                    /**
                     * @example day,lines_added,value_added,lines_abandoned,value_abandoned,lines_rate,value_rate
                     *     2026-11-23,120,5120.40,22,640.05,0.1833,0.1250
                     */
                    "text/csv": string;
                };
            };
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            406: components["responses"]["NotAcceptable"];
            422: components["responses"]["InvalidInput"];
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
    getHealth: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            500: components["responses"]["InternalError"];
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a problem's `instance` show the request. An id of another form is replaced.
                 * @example 5f2c9e1b7a604f0d
                 */
                "X-Request-ID"?: components["parameters"]["X-Request-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            429: components["responses"]["Throttled"];
            500: components["responses"]["InternalError"];
            503: components["responses"]["Unavailable"];
        };
    };
}
