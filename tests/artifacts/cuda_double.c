/* A CUDA driver in C for bundles: it checks every call, and runs no kernel itself.

   The memory of the GPU is the host's. What is copied to the host arrives when somebody
   waits for it, so a missing wait shows. Each launch is a line of the file that
   BUNDLE_CALLS names; `double_run`, if it is set, does what the kernel would. What is
   captured runs when its graph is launched, as often as that is; only work on the GPU
   can be captured.
   FAIL_CALL=name makes a function fail, FAIL_CODE says with what. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INVALID_VALUE = 1,
    MEMORY = 2,
    CONTEXT = 201,
    HANDLE = 400,
    NOT_IN_CAPTURE = 900,
    SPOILED = 901,
    MOST = 4096,
    MOST_PARAMETERS = 256
};

typedef struct {
    char *start;
    size_t size;
} Block;

typedef struct Pending {
    void *target;
    size_t size;
    struct Pending *next;
    char content[];
} Pending;

typedef struct {
    const char *image;
    char entry[256];
    int shared;
} Function;

/* A launch if it has a function, a copy if it has a source, or else a fill. */
typedef struct Step {
    const Function *function;
    unsigned sizes[4], shared;
    int count;
    uint64_t pointers[MOST_PARAMETERS];
    uint64_t target, source;
    size_t size;
    unsigned char byte;
    struct Step *next;
} Step;

typedef struct {
    Step *first, **end;
    int is_spoiled;
} Graph;

void (*double_run)(const char *entry, const uint64_t *pointers);
int double_architecture = 90, double_version = 12080, double_gpus = 1;
int double_graph_launches;

static Block blocks[MOST];
static Pending *pending;
static int has_context, streams, modules, graphs, block_count;
static Graph *capturing; /* what is being captured */
static char stream_handle;

static int failing(const char *name)
{
    const char *wanted = getenv("FAIL_CALL"), *code = getenv("FAIL_CODE");
    return wanted && strcmp(wanted, name) == 0 ? (code ? atoi(code) : 700) : 0;
}

#define ENTER(name)                          \
    do {                                     \
        int code_ = failing(#name);          \
        if (code_) return code_;             \
    } while (0)
#define IN_CONTEXT(name)                     \
    do {                                     \
        ENTER(name);                         \
        if (!has_context) return CONTEXT;    \
    } while (0)

/* What has no place in a graph spoils it. */
#define NOT_CAPTURED()                                          \
    do {                                                        \
        if (capturing) {                                        \
            capturing->is_spoiled = 1;                          \
            return NOT_IN_CAPTURE;                              \
        }                                                       \
    } while (0)

/* The block that bytes lie in, or NULL. */
static Block *find(uint64_t at, size_t size)
{
    for (int i = 0; i < block_count; i++) {
        uint64_t start = (uint64_t)(uintptr_t)blocks[i].start;
        if (start && start <= at && at + size <= start + blocks[i].size)
            return &blocks[i];
    }
    return NULL;
}

static void *memory(uint64_t at) { return (void *)(uintptr_t)at; }

int cuInit(unsigned flags)
{
    ENTER(cuInit);
    return flags ? INVALID_VALUE : 0;
}

int cuDriverGetVersion(int *version)
{
    *version = double_version;
    return 0;
}

int cuGetErrorName(int code, const char **text)
{
    *text = "CUDA_ERROR_OF_THE_DOUBLE";
    return (void)code, 0;
}

int cuGetErrorString(int code, const char **text)
{
    *text = code == MEMORY ? "out of memory" : "an error of the double";
    return 0;
}

int cuDeviceGetCount(int *count)
{
    *count = double_gpus;
    return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal < double_gpus ? 0 : INVALID_VALUE;
}

int cuDeviceGetName(char *name, int size, int device)
{
    snprintf(name, (size_t)size, "GPU in C");
    return (void)device, 0;
}

int cuDeviceGetAttribute(int *value, int number, int device)
{
    *value = number == 75   ? double_architecture / 10
             : number == 76 ? double_architecture % 10
                            : 232448;
    return (void)device, 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    *context = &has_context;
    return (void)device, 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    int leaked = streams || modules || graphs || pending || capturing;
    for (int i = 0; i < block_count; i++) leaked |= blocks[i].start != NULL;
    if (leaked) fprintf(stderr, "the bundle left something on the GPU\n"), abort();
    has_context = block_count = 0;
    return (void)device, 0;
}

int cuCtxSetCurrent(void *context)
{
    if (context != &has_context) return CONTEXT;
    has_context = 1;
    return 0;
}

int cuModuleLoadData(void **module, const void *image)
{
    IN_CONTEXT(cuModuleLoadData);
    Function *made = calloc(1, sizeof *made);
    made->image = image;
    *module = made;
    modules++;
    return 0;
}

int cuModuleUnload(void *module)
{
    free(module);
    modules--;
    return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    IN_CONTEXT(cuModuleGetFunction);
    Function *made = module;
    snprintf(made->entry, sizeof made->entry, "%s", name);
    /* The image of a kernel is its name. */
    if (strcmp(made->image, name) != 0) return 500;
    *function = module;
    return 0;
}

int cuFuncSetAttribute(void *function, int number, int value)
{
    IN_CONTEXT(cuFuncSetAttribute);
    if (number != 8 || value > 232448) return INVALID_VALUE;
    ((Function *)function)->shared = value;
    return 0;
}

static int pointer_count(const char *entry)
{
    const char *number = strrchr(entry, '_'); /* an entry ends in how many it takes */
    return number ? atoi(number + 1) : 0;
}

static void note(const Step *s)
{
    const Function *f = s->function;
    const unsigned *sizes = s->sizes;
    const uint64_t *pointers = s->pointers;
    const char *name = getenv("BUNDLE_CALLS");
    FILE *file = name ? fopen(name, "a") : NULL;
    if (file == NULL) return;
    fprintf(file, "%s %u %u %u %u %u", f->entry, sizes[0], sizes[1], sizes[2], sizes[3],
            s->shared);
    for (int i = 0; i < s->count; i++) {
        Block *block = find(pointers[i], 0);
        uint64_t start = block ? (uint64_t)(uintptr_t)block->start : 0;
        fprintf(file, " %d:%" PRIu64, block ? (int)(block - blocks) : -1,
                pointers[i] - start);
    }
    fprintf(file, "\n");
    fclose(file);
}

static void perform(const Step *s)
{
    if (s->function) {
        note(s);
        if (double_run) double_run(s->function->entry, s->pointers);
    } else if (s->source) {
        memcpy(memory(s->target), memory(s->source), s->size);
    } else {
        memset(memory(s->target), s->byte, s->size);
    }
}

/* Does it now, or when the graph is launched. */
static int enqueue(const Step *s)
{
    if (capturing == NULL) {
        perform(s);
        return 0;
    }
    Step *kept = malloc(sizeof *kept);
    *kept = *s;
    kept->next = NULL;
    *capturing->end = kept;
    capturing->end = &kept->next;
    return 0;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, void *stream,
                   void **parameters, void **extra)
{
    IN_CONTEXT(cuLaunchKernel);
    Function *f = function;
    int count = pointer_count(f->entry);
    Step step = {.function = f, .sizes = {gx, gy, gz, bx}, .shared = shared};
    uint64_t *pointers = step.pointers;
    if (count + 2 > MOST_PARAMETERS) return INVALID_VALUE;
    if (extra || stream != &stream_handle || by != 1 || bz != 1 || bx % 32) return HANDLE;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || bx > 1024) return INVALID_VALUE;
    if (shared > (f->shared ? (unsigned)f->shared : 48u * 1024)) return INVALID_VALUE;
    for (int i = 0; i < count + 2; i++) {
        pointers[i] = *(uint64_t *)parameters[i];
        if (i < count && (pointers[i] % 16 || !find(pointers[i], 0)))
            return INVALID_VALUE;
    }
    if (pointers[count + 1] || (pointers[count] && !find(pointers[count], 1)))
        return INVALID_VALUE;
    step.count = count;
    return enqueue(&step);
}

int cuMemAlloc_v2(uint64_t *address, size_t size)
{
    IN_CONTEXT(cuMemAlloc_v2);
    NOT_CAPTURED();
    if (size == 0 || block_count == MOST) return INVALID_VALUE;
    char *made = aligned_alloc(256, (size + 255) / 256 * 256);
    if (made == NULL) return MEMORY;
    memset(made, 0xFF, size);
    blocks[block_count++] = (Block){made, size};
    *address = (uint64_t)(uintptr_t)made;
    return 0;
}

int cuMemFree_v2(uint64_t address)
{
    for (int i = 0; i < block_count; i++)
        if ((uint64_t)(uintptr_t)blocks[i].start == address) {
            free(blocks[i].start);
            blocks[i].start = NULL;
            return 0;
        }
    return INVALID_VALUE;
}

int cuMemcpyHtoDAsync_v2(uint64_t target, const void *source, size_t size, void *stream)
{
    IN_CONTEXT(cuMemcpyHtoDAsync_v2);
    NOT_CAPTURED();
    if (stream != &stream_handle || !find(target, size)) return INVALID_VALUE;
    memcpy(memory(target), source, size);
    return 0;
}

int cuMemcpyDtoHAsync_v2(void *target, uint64_t source, size_t size, void *stream)
{
    IN_CONTEXT(cuMemcpyDtoHAsync_v2);
    NOT_CAPTURED();
    if (stream != &stream_handle || !find(source, size)) return INVALID_VALUE;
    Pending *copy = malloc(sizeof *copy + size);
    *copy = (Pending){target, size, pending};
    memcpy(copy->content, memory(source), size);
    pending = copy;
    return 0;
}

int cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source, size_t size, void *stream)
{
    IN_CONTEXT(cuMemcpyDtoDAsync_v2);
    if (stream != &stream_handle || !find(target, size) || !find(source, size))
        return INVALID_VALUE;
    if (target < source + size && source < target + size) return INVALID_VALUE;
    return enqueue(&(Step){.target = target, .source = source, .size = size});
}

int cuMemsetD8Async(uint64_t target, unsigned char byte, size_t size, void *stream)
{
    IN_CONTEXT(cuMemsetD8Async);
    if (stream != &stream_handle || !find(target, size)) return INVALID_VALUE;
    return enqueue(&(Step){.target = target, .byte = byte, .size = size});
}

int cuStreamCreate(void **stream, unsigned flags)
{
    IN_CONTEXT(cuStreamCreate);
    *stream = &stream_handle;
    streams++;
    return flags ? INVALID_VALUE : 0;
}

int cuStreamDestroy_v2(void *stream)
{
    streams--;
    return stream == &stream_handle ? 0 : HANDLE;
}

int cuStreamSynchronize(void *stream)
{
    if (stream != &stream_handle) return HANDLE;
    NOT_CAPTURED();
    while (pending) {
        Pending *copy = pending;
        memcpy(copy->target, copy->content, copy->size);
        pending = copy->next;
        free(copy);
    }
    return 0;
}

static int free_graph(Graph *graph)
{
    while (graph->first) {
        Step *next = graph->first->next;
        free(graph->first);
        graph->first = next;
    }
    free(graph);
    graphs--;
    return 0;
}

int cuStreamBeginCapture_v2(void *stream, int mode)
{
    IN_CONTEXT(cuStreamBeginCapture_v2);
    NOT_CAPTURED();
    if (stream != &stream_handle) return HANDLE;
    if (mode != 1) return INVALID_VALUE;
    capturing = calloc(1, sizeof *capturing);
    capturing->end = &capturing->first;
    graphs++;
    return 0;
}

int cuStreamEndCapture(void *stream, void **graph)
{
    Graph *made = capturing;
    int code = failing("cuStreamEndCapture");
    if (stream != &stream_handle || made == NULL) return HANDLE;
    capturing = NULL;
    if (!code && made->is_spoiled) code = SPOILED;
    *graph = code ? NULL : made;
    if (code) free_graph(made);
    return code;
}

int cuGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long flags)
{
    IN_CONTEXT(cuGraphInstantiateWithFlags);
    Graph *made = calloc(1, sizeof *made);
    made->end = &made->first;
    for (const Step *s = ((Graph *)graph)->first; s; s = s->next) {
        *made->end = malloc(sizeof *s);
        **made->end = *s;
        made->end = &(*made->end)->next;
        *made->end = NULL;
    }
    graphs++;
    *ready = made;
    return flags ? INVALID_VALUE : 0;
}

int cuGraphDestroy(void *graph) { return free_graph(graph); }

int cuGraphExecDestroy(void *ready) { return free_graph(ready); }

int cuGraphLaunch(void *ready, void *stream)
{
    IN_CONTEXT(cuGraphLaunch);
    NOT_CAPTURED();
    if (stream != &stream_handle) return HANDLE;
    for (const Step *s = ((Graph *)ready)->first; s; s = s->next) perform(s);
    double_graph_launches++;
    return 0;
}
