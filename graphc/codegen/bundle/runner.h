/* Runs launch plans on a GPU, by the CUDA driver alone.

   A bundle's C file includes this once, behind two definitions: MAX_RANK, the most axes
   of an array, and MAX_POINTERS, the most pointers that a kernel takes. Everything here
   is static, so programs can link several bundles. */

#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CUDA_LIBRARY
#define CUDA_LIBRARY "libcuda.so.1"
#endif

enum { OK, BAD_ARGUMENT, NO_DRIVER, WRONG_GPU, DRIVER_FAILED, NO_MEMORY };

typedef uint64_t Address; /* a place in the memory of the GPU */

/* A part of the bundle's data. */
typedef struct {
    size_t offset, bytes;
} Part;

typedef struct {
    int image; /* which machine code it is in */
    const char *entry;
    unsigned grid[3], threads, shared;
    size_t scratch; /* bytes of memory of its own */
} Kernel;

/* A dimension whose size the caller says. */
typedef struct {
    const char *name;
    int64_t low; /* the least size, or 0 if it must be a compiled one */
    int count;
    const int64_t *compiled; /* the sizes there are programs for, ascending */
} Symbol;

typedef struct {
    const char *name;
    size_t item; /* bytes of an element */
    int rank;
} Array;

typedef struct Runner Runner;

/* The plan for some sizes. Its regions are the inputs, the state, the sizes that it is
   told, the constants, the arena of temporaries, and results. */
typedef struct {
    const int64_t *sizes; /* of each symbol */
    int region_count;
    const size_t *regions; /* bytes of each */
    Part constants;
    const int *outputs; /* the region of each output */
    int copy_count;
    const int (*copies)[2]; /* after a run: a region of the state, and what replaces it */
    int move_count;
    const int (*moves)[2]; /* after a run: a region, and whose memory it has next */
    int (*run)(Runner *r, const Address *at);
    const char *obstacle; /* why a run cannot be recorded, or NULL */
} Program;

typedef struct {
    int major, minor; /* what the machine code is for */
    const unsigned char *data;
    int image_count, kernel_count, symbol_count, input_count, output_count;
    int state_count, told_count, program_count;
    const Part *images;
    const Kernel *kernels;
    const Symbol *symbols;
    const Array *inputs, *outputs;
    const Part *state; /* the initial tensors */
    const int *told;   /* the symbols whose sizes programs are told */
    const Program *programs;
    /* The shapes of the inputs, then of the outputs, for some sizes. */
    void (*shapes)(const int64_t *sizes, int64_t (*shapes)[MAX_RANK]);
} Bundle;

/* What a plan does at some addresses, as a CUDA graph. */
typedef struct {
    Address *at; /* NULL: for none yet */
    void *ready; /* NULL: these addresses came once */
} Recording;

enum { MOST_RECORDINGS = 4 };

struct Runner {
    const Bundle *bundle;
    void *library, *context, *stream;
    int device, is_open;
    void **modules;
    void **functions;  /* of each kernel */
    Address *scratch;  /* of each kernel */
    Address *state;    /* of each tensor */
    Address **regions; /* of each program: those that are neither state nor shared */
    Recording (*recordings)[MOST_RECORDINGS]; /* of each program */
    const char *unrecorded; /* why the last run is not to become a graph, or NULL */
    char no_graphs[512];    /* why nothing is recorded any more, or "" */
    char message[512];
};

#define TRY(call)                       \
    do {                                \
        int code_ = (call);             \
        if (code_ != OK) return code_;  \
    } while (0)

static int fail(Runner *r, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->message, sizeof r->message, format, arguments);
    va_end(arguments);
    return code;
}

/* -- the driver -------------------------------------------------------------------- */

#define DRIVER_FUNCTIONS(X)                                                           \
    X(cuInit, (unsigned))                                                             \
    X(cuDriverGetVersion, (int *))                                                    \
    X(cuGetErrorName, (int, const char **))                                           \
    X(cuGetErrorString, (int, const char **))                                         \
    X(cuDeviceGetCount, (int *))                                                      \
    X(cuDeviceGet, (int *, int))                                                      \
    X(cuDeviceGetName, (char *, int, int))                                            \
    X(cuDeviceGetAttribute, (int *, int, int))                                        \
    X(cuDevicePrimaryCtxRetain, (void **, int))                                       \
    X(cuDevicePrimaryCtxRelease_v2, (int))                                            \
    X(cuCtxSetCurrent, (void *))                                                      \
    X(cuModuleLoadData, (void **, const void *))                                      \
    X(cuModuleUnload, (void *))                                                       \
    X(cuModuleGetFunction, (void **, void *, const char *))                           \
    X(cuFuncSetAttribute, (void *, int, int))                                         \
    X(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned,      \
                       unsigned, unsigned, void *, void **, void **))                 \
    X(cuMemAlloc_v2, (Address *, size_t))                                             \
    X(cuMemFree_v2, (Address))                                                        \
    X(cuMemcpyHtoDAsync_v2, (Address, const void *, size_t, void *))                  \
    X(cuMemcpyDtoHAsync_v2, (void *, Address, size_t, void *))                        \
    X(cuMemcpyDtoDAsync_v2, (Address, Address, size_t, void *))                       \
    X(cuMemsetD8Async, (Address, unsigned char, size_t, void *))                      \
    X(cuStreamCreate, (void **, unsigned))                                            \
    X(cuStreamDestroy_v2, (void *))                                                   \
    X(cuStreamSynchronize, (void *))                                                  \
    X(cuStreamBeginCapture_v2, (void *, int))                                         \
    X(cuStreamEndCapture, (void *, void **))                                          \
    X(cuGraphInstantiateWithFlags, (void **, void *, unsigned long long))             \
    X(cuGraphDestroy, (void *))                                                       \
    X(cuGraphLaunch, (void *, void *))                                                \
    X(cuGraphExecDestroy, (void *))

#define DECLARE(name, types) int(*name) types;
static struct {
    DRIVER_FUNCTIONS(DECLARE)
} driver;

enum {
    OLDEST_DRIVER = 12000,
    OUT_OF_MEMORY = 2,
    COMPUTE_MAJOR = 75,
    COMPUTE_MINOR = 76,
    SHARED_MEMORY_LIMIT = 97,
    MAX_DYNAMIC_SHARED = 8,
    CAPTURE_THIS_THREAD = 1,
    SHARED_WITHOUT_ASKING = 48 * 1024,
    ALIGNMENT = 256
};

static int checked(Runner *r, const char *name, int code)
{
    const char *text = NULL;
    if (code == 0) return OK;
    driver.cuGetErrorString(code, &text);
    return fail(r, code == OUT_OF_MEMORY ? NO_MEMORY : DRIVER_FAILED,
                "%s failed: %s (%d)", name, text ? text : "unknown error", code);
}

#define CALL(name, ...) TRY(checked(r, #name, driver.name(__VA_ARGS__)))

static int load_driver(Runner *r)
{
    int version = 0;
    r->library = dlopen(CUDA_LIBRARY, RTLD_NOW);
    if (r->library == NULL)
        return fail(r, NO_DRIVER, "no NVIDIA driver is installed: %s", dlerror());
#define FIND(name, types)                                                             \
    *(void **)&driver.name = dlsym(r->library, #name);                                \
    if (driver.name == NULL)                                                          \
        return fail(r, NO_DRIVER, "the NVIDIA driver is too old: it has no " #name);
    DRIVER_FUNCTIONS(FIND)
    CALL(cuInit, 0);
    CALL(cuDriverGetVersion, &version);
    if (version < OLDEST_DRIVER)
        return fail(r, NO_DRIVER, "the NVIDIA driver is too old: it serves CUDA %d.%d",
                    version / 1000, version % 1000 / 10);
    return OK;
}

/* -- what plans do ----------------------------------------------------------------- */

static int launch(Runner *r, int number, int count, const Address *places)
{
    const Kernel *k = &r->bundle->kernels[number];
    Address values[MAX_POINTERS + 2];
    void *pointers[MAX_POINTERS + 2];
    int i;
    memcpy(values, places, (size_t)count * sizeof *places);
    values[count] = r->scratch[number];
    values[count + 1] = 0; /* the memory of Triton's profiler */
    for (i = 0; i < count + 2; i++) pointers[i] = &values[i];
    CALL(cuLaunchKernel, r->functions[number], k->grid[0], k->grid[1], k->grid[2],
         k->threads, 1, 1, k->shared, r->stream, pointers, NULL);
    return OK;
}

static inline int copy(Runner *r, Address target, Address source, size_t bytes)
{
    if (bytes) CALL(cuMemcpyDtoDAsync_v2, target, source, bytes, r->stream);
    return OK;
}

static inline int zero(Runner *r, Address target, size_t bytes)
{
    if (bytes) CALL(cuMemsetD8Async, target, 0, bytes, r->stream);
    return OK;
}

static int upload(Runner *r, Address target, const void *source, size_t bytes)
{
    if (bytes) CALL(cuMemcpyHtoDAsync_v2, target, source, bytes, r->stream);
    return OK;
}

static int download(Runner *r, void *target, Address source, size_t bytes)
{
    if (bytes) CALL(cuMemcpyDtoHAsync_v2, target, source, bytes, r->stream);
    return OK;
}

static int finish(Runner *r)
{
    CALL(cuStreamSynchronize, r->stream);
    return OK;
}

static inline int64_t floor_divide(int64_t numerator, int64_t denominator)
{
    int64_t quotient = numerator / denominator;
    return quotient - (numerator % denominator != 0 &&
                       (numerator < 0) != (denominator < 0));
}

/* A number that decides what comes next. */
static inline int read_number(Runner *r, Address at, int bytes, int is_signed,
                              int64_t *value)
{
    unsigned char raw[8] = {0};
    uint64_t bits = 0;
    int i;
    TRY(download(r, raw, at, (size_t)bytes));
    TRY(finish(r));
    for (i = bytes; i-- > 0;) bits = bits << 8 | raw[i];
    if (is_signed && bytes < 8 && bits >> (8 * bytes - 1))
        bits |= ~(uint64_t)0 << 8 * bytes;
    memcpy(value, &bits, sizeof *value);
    return OK;
}

/* -- memory ------------------------------------------------------------------------ */

static int allocate(Runner *r, Address *place, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT)
        return fail(r, NO_MEMORY, "there is no memory of %zu bytes", bytes);
    bytes = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    CALL(cuMemAlloc_v2, place, bytes);
    return OK;
}

static void *zeros(size_t count, size_t item)
{
    return calloc(count ? count : 1, item);
}

/* Copies the corner that two arrays share. */
static void copy_corner(unsigned char *to, const int64_t *to_shape,
                        const unsigned char *from, const int64_t *from_shape, int rank,
                        size_t item)
{
    int64_t count, row;
    size_t to_row = item, from_row = item;
    int axis, is_whole = 1;
    if (rank == 0) {
        memcpy(to, from, item);
        return;
    }
    for (axis = 1; axis < rank; axis++) {
        to_row *= (size_t)to_shape[axis];
        from_row *= (size_t)from_shape[axis];
        is_whole &= to_shape[axis] == from_shape[axis];
    }
    count = to_shape[0] < from_shape[0] ? to_shape[0] : from_shape[0];
    if (is_whole) {
        memcpy(to, from, (size_t)count * to_row);
        return;
    }
    for (row = 0; row < count; row++)
        copy_corner(to + (size_t)row * to_row, to_shape + 1,
                    from + (size_t)row * from_row, from_shape + 1, rank - 1, item);
}

static size_t bytes_of(const Array *array, const int64_t *shape)
{
    size_t bytes = array->item;
    int axis;
    for (axis = 0; axis < array->rank; axis++) bytes *= (size_t)shape[axis];
    return bytes;
}

static int is_same(const Array *array, const int64_t *one, const int64_t *other)
{
    int axis;
    for (axis = 0; axis < array->rank; axis++)
        if (one[axis] != other[axis]) return 0;
    return 1;
}

/* -- opening and closing ----------------------------------------------------------- */

static void close_runner(Runner *r)
{
    const Bundle *b = r->bundle;
    int i, j;
    if (r->context != NULL) {
        driver.cuCtxSetCurrent(r->context);
        if (r->stream != NULL) driver.cuStreamSynchronize(r->stream);
        for (i = 0; r->recordings && i < b->program_count; i++)
            for (j = 0; j < MOST_RECORDINGS; j++)
                if (r->recordings[i][j].ready)
                    driver.cuGraphExecDestroy(r->recordings[i][j].ready);
        for (i = 0; r->regions && i < b->program_count; i++)
            for (j = 0; r->regions[i] && j < b->programs[i].region_count; j++)
                if (r->regions[i][j]) driver.cuMemFree_v2(r->regions[i][j]);
        for (i = 0; r->state && i < b->state_count; i++)
            if (r->state[i]) driver.cuMemFree_v2(r->state[i]);
        for (i = 0; r->scratch && i < b->kernel_count; i++)
            if (r->scratch[i]) driver.cuMemFree_v2(r->scratch[i]);
        for (i = 0; r->modules && i < b->image_count; i++)
            if (r->modules[i]) driver.cuModuleUnload(r->modules[i]);
        if (r->stream != NULL) driver.cuStreamDestroy_v2(r->stream);
        driver.cuDevicePrimaryCtxRelease_v2(r->device);
    }
    for (i = 0; r->recordings && i < b->program_count; i++)
        for (j = 0; j < MOST_RECORDINGS; j++) free(r->recordings[i][j].at);
    for (i = 0; r->regions && i < b->program_count; i++) free(r->regions[i]);
    free(r->recordings);
    free(r->regions);
    free(r->state);
    free(r->scratch);
    free(r->functions);
    free(r->modules);
    if (r->library != NULL) dlclose(r->library);
    r->recordings = NULL;
    r->regions = NULL;
    r->unrecorded = NULL;
    r->no_graphs[0] = '\0';
    r->state = r->scratch = NULL;
    r->functions = r->modules = NULL;
    r->library = r->context = r->stream = NULL;
    r->is_open = 0;
}

static int take_gpu(Runner *r, int gpu)
{
    const Bundle *b = r->bundle;
    int count = 0, major = 0, minor = 0;
    char name[256] = "";
    CALL(cuDeviceGetCount, &count);
    if (gpu < 0 || gpu >= count)
        return fail(r, BAD_ARGUMENT, "there is no GPU %d: the driver finds %d", gpu,
                    count);
    CALL(cuDeviceGet, &r->device, gpu);
    CALL(cuDeviceGetName, name, (int)sizeof name, r->device);
    CALL(cuDeviceGetAttribute, &major, COMPUTE_MAJOR, r->device);
    CALL(cuDeviceGetAttribute, &minor, COMPUTE_MINOR, r->device);
    if (major != b->major || minor != b->minor)
        return fail(r, WRONG_GPU,
                    "the machine code is for sm_%d%d, and GPU %d (%s) is sm_%d%d: build"
                    " a bundle for that target",
                    b->major, b->minor, gpu, name, major, minor);
    CALL(cuDevicePrimaryCtxRetain, &r->context, r->device);
    CALL(cuCtxSetCurrent, r->context);
    CALL(cuStreamCreate, &r->stream, 0);
    return OK;
}

static int load_kernels(Runner *r)
{
    const Bundle *b = r->bundle;
    int i, limit = 0;
    CALL(cuDeviceGetAttribute, &limit, SHARED_MEMORY_LIMIT, r->device);
    for (i = 0; i < b->image_count; i++)
        CALL(cuModuleLoadData, &r->modules[i], b->data + b->images[i].offset);
    for (i = 0; i < b->kernel_count; i++) {
        const Kernel *k = &b->kernels[i];
        if (k->shared > (unsigned)limit)
            return fail(r, WRONG_GPU,
                        "kernel %s needs %u bytes of shared memory, of %d", k->entry,
                        k->shared, limit);
        CALL(cuModuleGetFunction, &r->functions[i], r->modules[k->image], k->entry);
        if (k->shared > SHARED_WITHOUT_ASKING)
            CALL(cuFuncSetAttribute, r->functions[i], MAX_DYNAMIC_SHARED,
                 (int)k->shared);
        if (k->scratch) TRY(allocate(r, &r->scratch[i], k->scratch));
    }
    return OK;
}

static int open_parts(Runner *r, int gpu)
{
    const Bundle *b = r->bundle;
    int i;
    r->regions = zeros((size_t)b->program_count, sizeof *r->regions);
    r->state = zeros((size_t)b->state_count, sizeof *r->state);
    r->scratch = zeros((size_t)b->kernel_count, sizeof *r->scratch);
    r->recordings = zeros((size_t)b->program_count, sizeof *r->recordings);
    r->functions = zeros((size_t)b->kernel_count, sizeof *r->functions);
    r->modules = zeros((size_t)b->image_count, sizeof *r->modules);
    if (!r->regions || !r->recordings || !r->state || !r->scratch || !r->functions ||
        !r->modules)
        return fail(r, NO_MEMORY, "there is no memory left on the host");
    TRY(load_driver(r));
    TRY(take_gpu(r, gpu));
    TRY(load_kernels(r));
    for (i = 0; i < b->state_count; i++) {
        TRY(allocate(r, &r->state[i], b->state[i].bytes));
        TRY(upload(r, r->state[i], b->data + b->state[i].offset, b->state[i].bytes));
    }
    return finish(r);
}

static int open_runner(Runner *r, int gpu)
{
    int code;
    if (r->is_open) return fail(r, BAD_ARGUMENT, "the bundle is open already");
    code = open_parts(r, gpu);
    if (code == OK)
        r->is_open = 1;
    else
        close_runner(r);
    return code;
}

/* Opens what is not open, on the first GPU, for this thread. */
static int enter(Runner *r)
{
    if (!r->is_open) return open_runner(r, 0);
    CALL(cuCtxSetCurrent, r->context);
    return OK;
}

/* -- runs -------------------------------------------------------------------------- */

/* The sizes of the program that serves some sizes. */
static int choose_sizes(Runner *r, const int64_t *sizes, int64_t *chosen)
{
    const Bundle *b = r->bundle;
    int i, j;
    for (i = 0; i < b->symbol_count; i++) {
        const Symbol *s = &b->symbols[i];
        for (j = 0; j < s->count; j++)
            if (s->low ? s->low <= sizes[i] && sizes[i] <= s->compiled[j]
                       : sizes[i] == s->compiled[j])
                break;
        if (j == s->count) {
            char known[256] = "";
            size_t used = 0;
            if (s->low)
                snprintf(known, sizeof known, "%lld to %lld", (long long)s->low,
                         (long long)s->compiled[s->count - 1]);
            else
                for (j = 0; j < s->count && used < sizeof known; j++)
                    used += (size_t)snprintf(known + used, sizeof known - used,
                                             "%s%lld", j ? " or " : "",
                                             (long long)s->compiled[j]);
            return fail(r, BAD_ARGUMENT, "the bundle is for %s = %s, not %lld", s->name,
                        known, (long long)sizes[i]);
        }
        chosen[i] = s->compiled[j];
    }
    return OK;
}

static int find_program(const Bundle *b, const int64_t *chosen)
{
    int i, j;
    for (i = 0; i < b->program_count; i++) {
        for (j = 0; j < b->symbol_count; j++)
            if (b->programs[i].sizes[j] != chosen[j]) break;
        if (j == b->symbol_count) break;
    }
    return i;
}

/* The memory of a program, which it keeps. */
static int prepare(Runner *r, int number)
{
    const Bundle *b = r->bundle;
    const Program *p = &b->programs[number];
    int constants = b->input_count + b->state_count + b->told_count, i;
    Address *regions = r->regions[number];
    if (regions == NULL) {
        regions = zeros((size_t)p->region_count, sizeof *regions);
        if (regions == NULL)
            return fail(r, NO_MEMORY, "there is no memory left on the host");
        r->regions[number] = regions;
    }
    for (i = 0; i < p->region_count; i++) {
        int is_state = b->input_count <= i && i < b->input_count + b->state_count;
        if (is_state || regions[i]) continue;
        TRY(allocate(r, &regions[i], p->regions[i]));
        if (i == constants)
            TRY(upload(r, regions[i], b->data + p->constants.offset,
                       p->constants.bytes));
    }
    return OK;
}

/* Where a region's address is kept. */
static Address *slot(Runner *r, int number, int region)
{
    const Bundle *b = r->bundle;
    int tensor = region - b->input_count;
    return 0 <= tensor && tensor < b->state_count ? &r->state[tensor]
                                                  : &r->regions[number][region];
}

/* An input as the program wants it: itself, or a padded copy, which `staged` owns. */
static int give_input(Runner *r, int input, const void *given, Address at,
                      const int64_t *shape, const int64_t *room, void **staged)
{
    const Array *array = &r->bundle->inputs[input];
    size_t bytes = bytes_of(array, room);
    if (!is_same(array, shape, room)) {
        *staged = zeros(bytes, 1);
        if (*staged == NULL)
            return fail(r, NO_MEMORY, "there is no memory left on the host");
        copy_corner(*staged, room, given, shape, array->rank, array->item);
        given = *staged;
    }
    return upload(r, at, given, bytes);
}

static int take_output(Runner *r, int output, void *wanted, Address at,
                       const int64_t *shape, const int64_t *room)
{
    const Array *array = &r->bundle->outputs[output];
    size_t bytes = bytes_of(array, room);
    void *whole;
    int code;
    if (is_same(array, shape, room)) return download(r, wanted, at, bytes);
    whole = zeros(bytes, 1);
    if (whole == NULL)
        return fail(r, NO_MEMORY, "there is no memory left on the host");
    code = download(r, whole, at, bytes);
    if (code == OK) code = finish(r);
    if (code == OK)
        copy_corner(wanted, shape, whole, room, array->rank, array->item);
    free(whole);
    return code;
}

/* Makes one CUDA graph of what a plan does, which does not run yet. */
static int record(Runner *r, const Program *p, const Address *at, void **ready)
{
    void *graph = NULL;
    int code, ended;
    CALL(cuStreamBeginCapture_v2, r->stream, CAPTURE_THIS_THREAD);
    code = p->run(r, at);
    ended = driver.cuStreamEndCapture(r->stream, &graph);
    if (code == OK) code = checked(r, "cuStreamEndCapture", ended);
    if (code == OK)
        code = checked(r, "cuGraphInstantiateWithFlags",
                       driver.cuGraphInstantiateWithFlags(ready, graph, 0));
    if (code != OK) *ready = NULL;
    if (graph != NULL) driver.cuGraphDestroy(graph);
    return code;
}

/* The recording for some addresses, or NULL if they are not to become one. */
static Recording *find_recording(Runner *r, int number, const Address *at)
{
    const Program *p = &r->bundle->programs[number];
    size_t bytes = (size_t)p->region_count * sizeof *at;
    int i;
    r->unrecorded = p->obstacle ? p->obstacle : r->no_graphs[0] ? r->no_graphs : NULL;
    for (i = 0; r->unrecorded == NULL && i < MOST_RECORDINGS; i++) {
        Recording *found = &r->recordings[number][i];
        if (found->at == NULL) {
            found->at = malloc(bytes ? bytes : 1);
            if (found->at != NULL) memcpy(found->at, at, bytes);
            return NULL; /* kernels must have run before they are recorded */
        }
        if (memcmp(found->at, at, bytes) == 0) return found;
    }
    if (r->unrecorded == NULL) r->unrecorded = "the state has too many places in turn";
    return NULL;
}

/* Does what a plan does: the second time at the same addresses as a graph. */
static int run_plan(Runner *r, int number, const Address *at)
{
    const Program *p = &r->bundle->programs[number];
    Recording *found = find_recording(r, number, at);
    if (found != NULL && found->ready == NULL && record(r, p, at, &found->ready) != OK) {
        memcpy(r->no_graphs, r->message, sizeof r->no_graphs);
        r->unrecorded = r->no_graphs;
    }
    if (found == NULL || found->ready == NULL) return p->run(r, at);
    CALL(cuGraphLaunch, found->ready, r->stream);
    return OK;
}

/* One run. Memory that is allocated here lies in `work`, which the caller frees. */
typedef struct {
    void **staged;
    Address *at;
    int64_t (*shapes)[MAX_RANK], (*room)[MAX_RANK];
    int64_t *chosen;
    int32_t *told;
} Work;

static int run_parts(Runner *r, Work *w, const int64_t *sizes,
                     const void *const *inputs, void *const *outputs)
{
    const Bundle *b = r->bundle;
    const Program *p;
    int number, i, first = b->input_count + b->state_count;
    TRY(choose_sizes(r, sizes, w->chosen));
    TRY(enter(r));
    number = find_program(b, w->chosen);
    p = &b->programs[number];
    TRY(prepare(r, number));
    w->at = zeros((size_t)p->region_count, sizeof *w->at);
    if (w->at == NULL)
        return fail(r, NO_MEMORY, "there is no memory left on the host");
    for (i = 0; i < p->region_count; i++) w->at[i] = *slot(r, number, i);
    b->shapes(sizes, w->shapes);
    b->shapes(w->chosen, w->room);
    for (i = 0; i < b->input_count; i++)
        TRY(give_input(r, i, inputs[i], w->at[i], w->shapes[i], w->room[i],
                       &w->staged[i]));
    for (i = 0; i < b->told_count; i++) {
        w->told[i] = (int32_t)sizes[b->told[i]];
        TRY(upload(r, w->at[first + i], &w->told[i], sizeof *w->told));
    }
    TRY(run_plan(r, number, w->at));
    for (i = 0; i < b->output_count; i++)
        if (outputs[i] != NULL)
            TRY(take_output(r, i, outputs[i], w->at[p->outputs[i]],
                            w->shapes[b->input_count + i],
                            w->room[b->input_count + i]));
    for (i = 0; i < p->copy_count; i++) {
        const int *pair = p->copies[i];
        TRY(copy(r, w->at[pair[0]], w->at[pair[1]], p->regions[pair[0]]));
    }
    TRY(finish(r));
    for (i = 0; i < p->move_count; i++)
        *slot(r, number, p->moves[i][0]) = w->at[p->moves[i][1]];
    return OK;
}

static int run_bundle(Runner *r, const int64_t *sizes, const void *const *inputs,
                      void *const *outputs)
{
    const Bundle *b = r->bundle;
    size_t arrays = (size_t)b->input_count + (size_t)b->output_count;
    Work w = {0};
    int i, code;
    for (i = 0; i < b->input_count; i++)
        if (inputs[i] == NULL)
            return fail(r, BAD_ARGUMENT, "input %s is NULL", b->inputs[i].name);
    w.staged = zeros((size_t)b->input_count, sizeof *w.staged);
    w.shapes = zeros(arrays, sizeof *w.shapes);
    w.room = zeros(arrays, sizeof *w.room);
    w.chosen = zeros((size_t)b->symbol_count, sizeof *w.chosen);
    w.told = zeros((size_t)b->told_count, sizeof *w.told);
    if (w.staged && w.shapes && w.room && w.chosen && w.told)
        code = run_parts(r, &w, sizes, inputs, outputs);
    else
        code = fail(r, NO_MEMORY, "there is no memory left on the host");
    if (code != OK && r->is_open) driver.cuStreamSynchronize(r->stream);
    for (i = 0; w.staged && i < b->input_count; i++) free(w.staged[i]);
    free(w.staged);
    free(w.at);
    free(w.shapes);
    free(w.room);
    free(w.chosen);
    free(w.told);
    return code;
}

/* Copies a tensor of the state to the host, or from there. */
static inline int move_state(Runner *r, int tensor, void *to, const void *from)
{
    const Bundle *b = r->bundle;
    if (tensor < 0 || tensor >= b->state_count)
        return fail(r, BAD_ARGUMENT, "there is no tensor %d: the state has %d", tensor,
                    b->state_count);
    if (to == NULL && from == NULL) return fail(r, BAD_ARGUMENT, "the memory is NULL");
    TRY(enter(r));
    if (to != NULL) TRY(download(r, to, r->state[tensor], b->state[tensor].bytes));
    if (from != NULL) TRY(upload(r, r->state[tensor], from, b->state[tensor].bytes));
    return finish(r);
}
