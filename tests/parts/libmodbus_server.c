/* A Modbus TCP server of libmodbus, for tests and benchmarks.

   usage: libmodbus_server PORT REGISTERS [--move] [--tell] [--hole ADDRESS]...

   Listens on 127.0.0.1 and serves several connections, each with any number of requests in flight. All four tables start
   at 0 and have REGISTERS entries; what lies beyond them, and every hole, is answered with exception 2. At first, each
   register holds its own address, and the odd coils are on. With --move, the registers of a read take one step of a
   random walk before the reply. With --tell, each write of a single coil is a line on the standard output: its address
   and what it is from then on, 0 or 1. */

#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_HOLES = 16, BACKLOG = 16, FUNCTION = 7, ADDRESS = 8, COUNT = 10 };

static int holes[MAX_HOLES];
static int hole_count;
static int moving;
static int telling;

static int word(const uint8_t *query, int at) {
    return query[at] << 8 | query[at + 1];
}

static uint32_t noise(void) { /* xorshift32 of G. Marsaglia, 2003 */
    static uint32_t state = 2463534242u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void walk(uint16_t *registers, int count) {
    uint32_t bits = 0;
    for (int i = 0; i < count; i++) {
        if (i % 16 == 0)
            bits = noise();
        registers[i] += (uint16_t)((bits & 1) - (bits >> 1 & 1)); /* -1, 0 or +1 */
        bits >>= 2;
    }
}

static int touches_hole(const uint8_t *query) {
    int function = query[FUNCTION], start = word(query, ADDRESS);
    int single = function == MODBUS_FC_WRITE_SINGLE_COIL || function == MODBUS_FC_WRITE_SINGLE_REGISTER;
    int count = single ? 1 : word(query, COUNT);
    for (int i = 0; i < hole_count; i++)
        if (start <= holes[i] && holes[i] < start + count)
            return 1;
    return 0;
}

static void answer(modbus_t *context, modbus_mapping_t *mapping, const uint8_t *query, int length) {
    int function = query[FUNCTION], start = word(query, ADDRESS), count = word(query, COUNT);
    if (touches_hole(query)) {
        modbus_reply_exception(context, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
        return;
    }
    if (moving && start + count <= mapping->nb_registers) {
        if (function == MODBUS_FC_READ_HOLDING_REGISTERS)
            walk(mapping->tab_registers + start, count);
        if (function == MODBUS_FC_READ_INPUT_REGISTERS)
            walk(mapping->tab_input_registers + start, count);
    }
    if (telling && function == MODBUS_FC_WRITE_SINGLE_COIL) {
        printf("coil %d %d\n", start, count == 0xFF00);
        fflush(stdout);
    }
    modbus_reply(context, query, length, mapping);
}

static modbus_mapping_t *mapping_of(int size) {
    modbus_mapping_t *mapping = modbus_mapping_new(size, size, size, size);
    if (mapping == NULL)
        return NULL;
    for (int i = 0; i < size; i++) {
        mapping->tab_registers[i] = mapping->tab_input_registers[i] = (uint16_t)i;
        mapping->tab_bits[i] = mapping->tab_input_bits[i] = (uint8_t)(i & 1);
    }
    return mapping;
}

static int accept_one(int listener) {
    int on = 1, connection = accept(listener, NULL, NULL);
    if (connection >= 0)
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connection;
}

static void serve(modbus_t *context, modbus_mapping_t *mapping, int listener) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    fd_set known, ready;
    FD_ZERO(&known);
    FD_SET(listener, &known);
    for (int highest = listener;;) {
        ready = known;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                int connection = accept_one(listener);
                if (connection >= 0)
                    FD_SET(connection, &known);
                highest = connection > highest ? connection : highest;
                continue;
            }
            modbus_set_socket(context, fd);
            int length = modbus_receive(context, query);
            if (length > 0) {
                answer(context, mapping, query, length);
            } else if (length < 0) {
                close(fd);
                FD_CLR(fd, &known);
            }
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s PORT REGISTERS [--move] [--tell] [--hole ADDRESS]...\n", argv[0]);
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--move") == 0)
            moving = 1;
        else if (strcmp(argv[i], "--tell") == 0)
            telling = 1;
        else if (strcmp(argv[i], "--hole") == 0 && i + 1 < argc && hole_count < MAX_HOLES)
            holes[hole_count++] = atoi(argv[++i]);
    }
    modbus_t *context = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    modbus_mapping_t *mapping = mapping_of(atoi(argv[2]));
    int listener = context == NULL ? -1 : modbus_tcp_listen(context, BACKLOG);
    if (mapping == NULL || listener < 0) {
        fprintf(stderr, "%s\n", modbus_strerror(errno));
        return 1;
    }
    serve(context, mapping, listener);
    return 1;
}
