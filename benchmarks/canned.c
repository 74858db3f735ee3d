/* A DynamoDB endpoint that gives the same answers for ever, quick enough to be out of the picture.
 *
 *     canned DELAY_MS
 *
 * It listens on a free port of 127.0.0.1, prints its URL, and ends with the process that started it. The user `bench-N`
 * has a cart of N lines, whose products are 1001 to 1000+N; benchmarks/canned.py has the same rows as Python.
 * UpdateItem answers with the quantity that was sent, added to the row's where the update says ADD.
 *
 * One thread, epoll, keep-alive; one request at a time on a connection. As of the real one, each answer has its
 * x-amz-crc32, and a long one comes in chunks. With a delay, each answer leaves that long after its request came.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINES = 1000, ROW_BYTES = 512, REQUEST_BYTES = 1 << 17, CONNECTIONS = 4096, EVENTS = 64 };
enum { CHUNKED_FROM_BYTES = 2048, CHUNK_BYTES = 8192 };

typedef struct {
    char *bytes;
    size_t length;
} Text;

typedef struct {
    int fd, closed, waiting;
    uint64_t due_ns;
    Text answer;
    int owned; /* the answer was made for this request, not kept */
    size_t used;
    char in[REQUEST_BYTES + 1];
} Connection;

static uint32_t crc_table[256];
static Text carts[MAX_LINES + 1][3]; /* by what is asked of each row */
static Connection *queue[CONNECTIONS];
static unsigned first_due, last_due;
static uint64_t delay_ns;
static int loop, timer;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void make_crc_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        crc_table[n] = c;
    }
}

static uint32_t crc32_of(const char *bytes, size_t length) {
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < length; i++) c = crc_table[(c ^ (uint8_t)bytes[i]) & 0xFF] ^ (c >> 8);
    return c ^ 0xFFFFFFFFu;
}

static Text respond(int status, const char *body, size_t length) {
    char *out = malloc(length + length / CHUNK_BYTES * 16 + 512);
    int chunked = length >= CHUNKED_FROM_BYTES;
    char *at = out + sprintf(out,
        "HTTP/1.1 %s\r\nServer: Server\r\nDate: Mon, 23 Nov 2026 09:30:00 GMT\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 4KBNVRGD25RG1KEO9UT4V3FQDJVV4KQNSO5AEMVJF66Q9ASUAAJG\r\nx-amz-crc32: %u\r\n",
        status == 200 ? "200 OK" : "400 Bad Request", crc32_of(body, length));
    if (chunked) {
        at += sprintf(at, "Transfer-Encoding: chunked\r\n\r\n");
        for (size_t sent = 0; sent < length; sent += CHUNK_BYTES) {
            size_t size = length - sent < CHUNK_BYTES ? length - sent : CHUNK_BYTES;
            at += sprintf(at, "%zx\r\n", size);
            at = mempcpy(at, body + sent, size);
            at = mempcpy(at, "\r\n", 2);
        }
        at += sprintf(at, "0\r\n\r\n");
    } else {
        at += sprintf(at, "Content-Length: %zu\r\n\r\n", length);
        at = mempcpy(at, body, length);
    }
    return (Text){out, (size_t)(at - out)};
}

/* DynamoDB keeps numbers without trailing zeros. */
static void price_of(int number, char *out) {
    int cents = 199 + 137 * number;
    sprintf(out, "%d.%02d", cents / 100, cents % 100);
    for (char *end = out + strlen(out) - 1; *end == '0' || *end == '.'; end--) {
        int point = *end == '.';
        *end = 0;
        if (point) break;
    }
}

/* What a Query asks of each row. */
enum { WHOLE, KEYS, SHOWN };

static int asked_of(const char *body) {
    const char *projection = strstr(body, "ProjectionExpression");
    if (!projection) return WHOLE;
    return strstr(projection, "product_name") ? SHOWN : KEYS;
}

static int row(char *out, int lines, int number, int quantity, int asked) {
    char price[32], *at = out;
    price_of(number, price);
    at += sprintf(at,
        "{\"quantity\":{\"N\":\"%d\"},\"added_at\":{\"S\":\"2026-11-23T09:30:00.%06dZ\"},"
        "\"version\":{\"N\":\"%lld\"},\"product_id\":{\"N\":\"%d\"},\"price\":{\"N\":\"%s\"},"
        "\"product_name\":{\"S\":\"Cr\xC3\xA8me br\xC3\xBBl\xC3\xA9" "e dish no. %d\"}",
        quantity, number * 7919 % 10007, 1795426200000000LL + number, 1000 + number, price, number);
    if (asked == WHOLE)
        at += sprintf(at,
            ",\"item_id\":{\"S\":\"ITEM#%d\"},\"user_id\":{\"S\":\"bench-%d\"},"
            "\"updated_at\":{\"S\":\"2026-11-24T10:00:00.000000Z\"},"
            "\"priced_at\":{\"S\":\"2026-11-23T09:30:00.000000Z\"},\"ttl\":{\"N\":\"4102444800\"}",
            1000 + number, lines);
    at += sprintf(at, "}");
    return (int)(at - out);
}

static Text cart(int lines, int asked) {
    Text *kept = &carts[lines][asked];
    if (!kept->bytes) {
        char *body = malloc((size_t)lines * ROW_BYTES + 256), *at = body;
        at += sprintf(at, "{\"ConsumedCapacity\":{\"CapacityUnits\":%d.0,\"TableName\":\"benchmark-carts\"},"
            "\"Count\":%d,\"Items\":[", lines * 320 / 4096 + 1, lines);
        for (int number = 1; number <= lines; number++) {
            if (asked == KEYS)
                at += sprintf(at, "{\"item_id\":{\"S\":\"ITEM#%d\"},\"user_id\":{\"S\":\"bench-%d\"}}", 1000 + number, lines);
            else
                at += row(at, lines, number, 1 + number % 9, asked);
            if (number < lines) *at++ = ',';
        }
        at += sprintf(at, "],\"ScannedCount\":%d}", lines);
        *kept = respond(200, body, (size_t)(at - body));
        free(body);
    }
    return *kept;
}

/* The whole number that comes next after a word in the request, or 0. */
static int number_after(const char *body, const char *word) {
    const char *found = strstr(body, word);
    if (!found) return 0;
    found = strpbrk(found + strlen(word), "0123456789");
    return found ? atoi(found) : 0;
}

static int is(const char *target, const char *operation) {
    size_t length = strlen(operation);
    return !strncmp(target, operation, length) && target[length] == '\r';
}

static void answer(Connection *one, const char *target, const char *body) {
    char out[2 * ROW_BYTES] = "{}";
    int lines = number_after(body, "\"bench-"), number = number_after(body, "\"ITEM#") - 1000, status = 200;
    if (lines > MAX_LINES) lines = MAX_LINES;
    one->owned = !is(target, "Query");
    if (!one->owned) {
        one->answer = cart(lines, asked_of(body));
        return;
    }
    int known = number >= 1 && number <= lines;
    if (is(target, "UpdateItem") && known) {
        int quantity = number_after(body, "\":quantity\"") + (strstr(body, "ADD quantity") ? 1 + number % 9 : 0);
        char *at = out + sprintf(out, "{\"Attributes\":");
        at += row(at, lines, number, quantity, WHOLE);
        sprintf(at, ",\"ConsumedCapacity\":{\"CapacityUnits\":1.0,\"TableName\":\"benchmark-carts\"}}");
    } else if (is(target, "GetItem")) {
        char *at = out + sprintf(out, "{\"ConsumedCapacity\":{\"CapacityUnits\":1.0,\"TableName\":\"benchmark-carts\"}");
        if (known) {
            at += sprintf(at, ",\"Item\":");
            at += row(at, lines, number, 1 + number % 9, WHOLE);
        }
        sprintf(at, "}");
    } else if (is(target, "TransactWriteItems")) {
        sprintf(out, "{\"ConsumedCapacity\":[{\"CapacityUnits\":4.0,\"TableName\":\"benchmark-carts\"}]}");
    } else if (is(target, "DeleteItem")) {
        sprintf(out, "{\"ConsumedCapacity\":{\"CapacityUnits\":2.0,\"TableName\":\"benchmark-carts\"}}");
    } else if (is(target, "BatchWriteItem")) {
        sprintf(out, "{\"ConsumedCapacity\":[{\"CapacityUnits\":50.0,\"TableName\":\"benchmark-carts\"}],"
            "\"UnprocessedItems\":{}}");
    } else {
        status = 400;
        sprintf(out, "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ValidationException\",\"message\":\"not canned\"}");
    }
    one->answer = respond(status, out, strlen(out));
}

static void close_it(Connection *one) {
    if (one->fd >= 0) close(one->fd);
    one->fd = -1;
    one->closed = 1;
    if (!one->waiting) free(one);
}

/* A reader that is slow is waited for: answers are much shorter than a socket's buffer, or the only ones. */
static void send_answer(Connection *one) {
    for (size_t sent = 0; sent < one->answer.length && !one->closed;) {
        ssize_t wrote = send(one->fd, one->answer.bytes + sent, one->answer.length - sent, MSG_NOSIGNAL);
        if (wrote > 0)
            sent += (size_t)wrote;
        else if (errno == EAGAIN)
            poll(&(struct pollfd){.fd = one->fd, .events = POLLOUT}, 1, 1000);
        else
            break;
    }
    if (one->owned) free(one->answer.bytes);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wake_at(uint64_t ns) {
    struct itimerspec when = {.it_value = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void send_due(void) {
    uint64_t now = now_ns();
    while (first_due != last_due && queue[first_due % CONNECTIONS]->due_ns <= now) {
        Connection *one = queue[first_due++ % CONNECTIONS];
        send_answer(one);
        one->waiting = 0;
        if (one->closed) free(one);
    }
    if (first_due != last_due) wake_at(queue[first_due % CONNECTIONS]->due_ns);
}

/* Answer the request that has come, if all of it has. */
static void answer_request(Connection *one) {
    one->in[one->used] = 0;
    char *end = strstr(one->in, "\r\n\r\n");
    if (!end) return;
    char *body = end + 4;
    char *said = strcasestr(one->in, "\r\nContent-Length:");
    char *target = strcasestr(one->in, "\r\nX-Amz-Target: DynamoDB_20120810.");
    size_t length = said && said < end ? strtoul(said + 17, NULL, 10) : 0;
    if ((size_t)(body - one->in) + length > one->used) return;
    answer(one, target && target < end ? target + 34 : "", body);
    one->used = 0;
    if (!delay_ns) {
        send_answer(one);
        return;
    }
    one->waiting = 1;
    one->due_ns = now_ns() + delay_ns;
    if (first_due == last_due) wake_at(one->due_ns);
    queue[last_due++ % CONNECTIONS] = one;
}

static void receive(Connection *one) {
    ssize_t came = recv(one->fd, one->in + one->used, REQUEST_BYTES - one->used, 0);
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (came <= 0) {
        close_it(one);
        return;
    }
    one->used += (size_t)came;
    answer_request(one);
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    Connection *one = malloc(sizeof *one);
    *one = (Connection){.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = one});
}

static int listen_somewhere(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **words) {
    static int on_listener, on_timer;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    delay_ns = count > 1 ? (uint64_t)(atof(words[1]) * 1e6) : 0;
    make_crc_table();
    int listener = listen_somewhere();
    loop = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &on_listener});
    epoll_ctl(loop, EPOLL_CTL_ADD, timer, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &on_timer});
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(loop, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == &on_listener) {
                accept_one(listener);
            } else if (events[i].data.ptr == &on_timer) {
                uint64_t expirations;
                if (read(timer, &expirations, sizeof expirations) > 0) send_due();
            } else {
                receive(events[i].data.ptr);
            }
        }
    }
}
