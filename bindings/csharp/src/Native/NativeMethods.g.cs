// Generated from include/omniid.h by bindings/csharp/generate.py. Do not edit.
#nullable enable
using System;
using System.Runtime.InteropServices;

namespace OmniID.Native
{
    /// <summary>
    /// Receives log messages, on whatever thread they arise, possibly several at once.
    ///
    /// <c>target</c> names the part of the library. Both texts are UTF-8 and valid during the call only. The callback
    /// must not unwind; messages that arise inside it are dropped.
    /// </summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void LogFn(void* userData, int level, byte* target, byte* message);

    /// <summary>
    /// Hears that <c>done</c> of <c>total</c> units of a stage (<c>OMNIID_STAGE_...</c>) are finished.
    ///
    /// Called on the thread of the long call, with the <c>user_data</c> given beside it. Return 0 to go on; anything
    /// else cancels: the call fails with <c>OMNIID_STATUS_CANCELLED</c>. Must not unwind; throw no exceptions, no
    /// longjmp.
    /// </summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate int ProgressFn(void* userData, int stage, ulong done, ulong total);

    /// <summary>The functions of the library, as they are in C.</summary>
    internal static unsafe class NativeMethods
    {
#if (UNITY_IOS || UNITY_WEBGL) && !UNITY_EDITOR
        // Linked into the program.
        private const string Library = "__Internal";
#else
        // libomniid.so, libomniid.dylib or omniid.dll.
        private const string Library = "omniid";
#endif

        /// <summary>
        /// The ABI version of the loaded library: <c>major &lt;&lt; 16 | minor</c>.
        ///
        /// Compare its upper half with <c>OMNIID_ABI_MAJOR</c> after loading the library by hand.
        /// <c>omniid_engine_open</c> does so by itself.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern uint omniid_abi_version();

        /// <summary>The release of the loaded library, such as <c>0.2.0</c>. The text is static.</summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern byte* omniid_version();

        /// <summary>A short English text for a status. Static; never NULL, also not for unknown numbers.</summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern byte* omniid_status_text(int status);

        /// <summary>
        /// The message of the calling thread's last failed call; empty if none failed yet. Never NULL.
        ///
        /// Belongs to the library and stays valid until the next call of this thread fails or the thread ends. Calls
        /// that succeed do not touch it. A host that moves between threads must read it on the thread that made the
        /// call.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern byte* omniid_last_error();

        /// <summary>
        /// Installs the process's log callback, or removes it when <c>callback</c> is NULL.
        ///
        /// <c>max_level</c> is the most detailed level wanted, <c>OMNIID_LOG_LEVEL_ERROR</c> to
        /// <c>OMNIID_LOG_LEVEL_TRACE</c>; it is ignored on removal. Returns after all calls of the previous callback
        /// have ended: its <c>user_data</c> may be freed then.
        ///
        /// Fails with <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for an unknown level or when called from inside the
        /// callback, and with <c>OMNIID_STATUS_UNSUPPORTED</c> in a Rust program that has installed a logger of its
        /// own.
        ///
        /// The caller's part:
        /// <c>callback</c> must be callable with <c>user_data</c> from any thread until it is replaced or removed.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_log_set(IntPtr callback, void* userData, int maxLevel);

        /// <summary>
        /// Frees a tensor that a call has handed out, through its deleter. NULL is fine.
        ///
        /// The caller's part:
        /// <c>tensor</c> is NULL or an owned DLPack tensor that nobody uses any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_managed_tensor_free(NativeManagedTensor* tensor);

        /// <summary>
        /// Opens an identity model.
        ///
        /// Fails with <c>OMNIID_STATUS_ABI_MISMATCH</c> when the program was built for another major version of the
        /// ABI, with <c>OMNIID_STATUS_IO</c> or <c>OMNIID_STATUS_FORMAT</c> for files that cannot be read, with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> for checkpoint families and devices that this build cannot run, with
        /// <c>OMNIID_STATUS_MISMATCH</c> when image encoder, checkpoint and host do not belong together.
        ///
        /// The caller's part:
        /// <c>options</c> is initialised with OMNIID_ENGINE_OPTIONS_INIT and its pointers are NULL or valid; <c>out</c>
        /// is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_engine_open(NativeEngineOptions* options, IntPtr* @out);

        /// <summary>
        /// Frees an engine. NULL is fine. What was made with it stays valid.
        ///
        /// The caller's part:
        /// <c>engine</c> is NULL or came from <c>omniid_engine_open</c>, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_engine_free(IntPtr engine);

        /// <summary>
        /// Tells what an engine is.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>out</c> is initialised with OMNIID_ENGINE_INFO_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_engine_describe(IntPtr engine, NativeEngineInfo* @out);

        /// <summary>
        /// Describes layer <c>layer</c> of the engine's host, in the order of the adapter. Its name lives as long as
        /// the engine.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>out</c> is initialised with OMNIID_HOST_LAYER_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_engine_host_layer(IntPtr engine, UIntPtr layer, NativeHostLayer* @out);

        /// <summary>
        /// Finds the faces in a photo, the largest first.
        ///
        /// Writes at most <c>capacity</c> of them to <c>faces</c>, of which only the first element must be initialised
        /// (with OMNIID_FACE_INIT), and their number to <c>count</c>, which may be larger. <c>faces</c> may be NULL
        /// when <c>capacity</c> is 0; <c>options</c> may be NULL. A photo without faces is no error: <c>count</c> is 0.
        /// The photo's <c>face_hint</c> is ignored.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>photo</c> and <c>options</c> are initialised structs; <c>faces</c> has
        /// room for <c>capacity</c> structs; <c>count</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_engine_detect_faces(IntPtr engine, NativePhoto* photo, NativeDetectOptions*
            options, NativeFace* faces, UIntPtr capacity, UIntPtr* count);

        /// <summary>
        /// Reads an identity from an <c>.omniid</c> file.
        ///
        /// The caller's part:
        /// <c>path</c> is NUL-terminated; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_load(byte* path, IntPtr* @out);

        /// <summary>
        /// Reads an identity from the bytes of an <c>.omniid</c> file.
        ///
        /// The caller's part:
        /// <c>data</c> points to <c>size</c> readable bytes; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_from_bytes(void* data, UIntPtr size, IntPtr* @out);

        /// <summary>
        /// Writes an identity to a file, as <c>OMNIID_PRECISION_F32</c> or, at half the size,
        /// <c>OMNIID_PRECISION_F16</c>. The file appears complete or not at all.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>path</c> is NUL-terminated.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_save(IntPtr identity, byte* path, int precision);

        /// <summary>
        /// Writes an identity to memory: what <c>omniid_identity_save</c> puts into the file.
        ///
        /// <c>size</c> gets the number of bytes. With <c>buffer</c> NULL that is all; otherwise <c>capacity</c> must be
        /// at least that, else the call fails with <c>OMNIID_STATUS_INVALID_ARGUMENT</c> and <c>size</c> says what is
        /// needed.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>buffer</c> is NULL or has room for <c>capacity</c> bytes; <c>size</c>
        /// is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_to_bytes(IntPtr identity, int precision, void* buffer, UIntPtr
            capacity, UIntPtr* size);

        /// <summary>
        /// Tells what is known about an identity.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is initialised with OMNIID_IDENTITY_INFO_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_describe(IntPtr identity, NativeIdentityInfo* @out);

        /// <summary>
        /// Hands out the tokens, f32 <c>[tokens, token_width]</c>, read-only, without a copy. They stay valid after the
        /// identity is freed; free them with <c>omniid_managed_tensor_free</c> or their deleter.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_tokens(IntPtr identity, NativeManagedTensor** @out);

        /// <summary>
        /// Copies the tokens into a tensor of the host: <c>[tokens, token_width]</c> on the CPU, f32, f16 or bf16, any
        /// strides.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> describes writable memory.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_copy_tokens(IntPtr identity, NativeTensor* @out);

        /// <summary>
        /// Makes a copy of an identity with another label and consent note; NULL keeps the one it has.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; the texts are NULL or NUL-terminated; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_with_notes(IntPtr identity, byte* label, byte* consent, IntPtr* @out);

        /// <summary>
        /// Makes a copy of an identity without the photos' features: smaller, but an Omni-ID identity cannot be
        /// extended any more.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_without_features(IntPtr identity, IntPtr* @out);

        /// <summary>
        /// Compares two identities of this engine's model: cosine similarity, -1 to 1, centred on the model's average
        /// identity and in the directions that tell people apart, as far as the checkpoint has them.
        ///
        /// The caller's part:
        /// <c>engine</c>, <c>first</c> and <c>second</c> are live; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_similarity(IntPtr engine, IntPtr first, IntPtr second, float* @out);

        /// <summary>
        /// Hands out an identity's vector for comparisons, f32 <c>[length]</c>, read-only: what an index of many people
        /// stores.
        ///
        /// It has length 1, or is all zeros for an identity without a direction. The dot product of two such vectors is
        /// the <c>omniid_identity_similarity</c> of their identities. <c>length</c> is the same for all identities of
        /// an engine. Vectors of one checkpoint belong together: another checkpoint may compare in other directions
        /// although its tokens are the same. The vector stays valid after identity and engine are freed; free it with
        /// <c>omniid_managed_tensor_free</c> or its deleter.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made the identity.
        ///
        /// The caller's part:
        /// <c>engine</c> and <c>identity</c> are live; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_comparison_vector(IntPtr engine, IntPtr identity, NativeManagedTensor**
            @out);

        /// <summary>
        /// Frees an identity. NULL is fine.
        ///
        /// The caller's part:
        /// <c>identity</c> is NULL or came from this library, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_identity_free(IntPtr identity);

        /// <summary>
        /// Makes one identity of one or many photos of the same person.
        ///
        /// A photo that cannot be used is left out and reported, unless the options say otherwise. Fails with
        /// <c>OMNIID_STATUS_NO_FACE</c> when no photo shows a face, with the first photo's own error when none could be
        /// used for other reasons. <c>options</c> may be NULL.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>photos</c> points to <c>photo_count</c> structs initialised with
        /// OMNIID_PHOTO_INIT; <c>options</c> is NULL or initialised with OMNIID_ENCODE_OPTIONS_INIT; <c>out</c> is
        /// writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_encode(IntPtr engine, NativePhoto* photos, UIntPtr photoCount,
            NativeEncodeOptions* options, IntPtr* @out);

        /// <summary>
        /// Makes a new identity of an identity and more photos. Equal to encoding all photos at once, at the price of
        /// the new ones.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made the identity and with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> when an Omni-ID identity was kept without its photos' features.
        /// <c>options</c> may be NULL.
        ///
        /// The caller's part:
        /// As <c>omniid_encode</c>; <c>identity</c> is a live identity.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_extend(IntPtr engine, IntPtr identity, NativePhoto* photos, UIntPtr
            photoCount, NativeEncodeOptions* options, IntPtr* @out);

        /// <summary>
        /// Number of photos in a report: one entry for each photo handed in, in that order.
        ///
        /// The caller's part:
        /// <c>report</c> is a live report; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_report_photo_count(IntPtr report, UIntPtr* @out);

        /// <summary>
        /// Tells what became of photo <c>index</c>.
        ///
        /// The caller's part:
        /// <c>report</c> is a live report; <c>out</c> is initialised with OMNIID_PHOTO_REPORT_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_report_photo(IntPtr report, UIntPtr index, NativePhotoReport* @out);

        /// <summary>
        /// Frees a report. NULL is fine.
        ///
        /// The caller's part:
        /// <c>report</c> is NULL or came from this library, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_report_free(IntPtr report);

        /// <summary>
        /// Projects the keys and values of one or several identities for every layer of the engine's host. Each
        /// identity has its own softmax; their contributions are added. <c>options</c> may be NULL.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made an identity or the adapter is for another
        /// host, with <c>OMNIID_STATUS_UNSUPPORTED</c> when the checkpoint has no adapter, the host is not known, or
        /// the weight type or unconditional variant does not exist for it.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>identities</c> points to <c>identity_count</c> structs initialised with
        /// OMNIID_CONDITIONING_INPUT_INIT; <c>options</c> is NULL or initialised with OMNIID_CONDITIONING_OPTIONS_INIT;
        /// <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_create(IntPtr engine, NativeConditioningInput* identities, UIntPtr
            identityCount, NativeConditioningOptions* options, IntPtr* @out);

        /// <summary>
        /// Frees a conditioning. NULL is fine.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is NULL or came from <c>omniid_conditioning_create</c>, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_conditioning_free(IntPtr conditioning);

        /// <summary>
        /// Number of layers of the host.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_layer_count(IntPtr conditioning, UIntPtr* @out);

        /// <summary>
        /// Number of identities.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_identity_count(IntPtr conditioning, UIntPtr* @out);

        /// <summary>
        /// Bytes that all keys and values occupy.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_byte_size(IntPtr conditioning, UIntPtr* @out);

        /// <summary>
        /// Name of a layer. Lives as long as the conditioning.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_layer_name(IntPtr conditioning, UIntPtr layer, byte** @out);

        /// <summary>
        /// Heads, widths and name of a layer. The name lives as long as the conditioning.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is initialised with OMNIID_HOST_LAYER_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_layer(IntPtr conditioning, UIntPtr layer, NativeHostLayer* @out);

        /// <summary>
        /// Index of the layer with a name. diffusers and LDM spellings are known for the built-in hosts, with or
        /// without a trailing <c>.attn2</c>, <c>.attn</c> or <c>.processor</c>; so are ComfyUI addresses such as
        /// <c>output,1,3</c>.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>name</c> is NUL-terminated; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_find_layer(IntPtr conditioning, byte* name, UIntPtr* @out);

        /// <summary>
        /// Hands out the keys of one identity in one layer, <c>[tokens, heads, head_dim]</c>, read-only, without a
        /// copy. NULL, with <c>OMNIID_STATUS_OK</c>, where nothing is injected. Stays valid after the conditioning is
        /// freed. On a GPU they may be read on <c>stream</c>, a CUDA stream in the numbering of
        /// <c>omniid_inject_call</c>; on the CPU it is ignored. There the deleter may run while queued work still reads
        /// them, but not while a stream of the device is being captured into a CUDA graph.
        ///
        /// A host that runs its own attention adds factor x mask x softmax(q Kt / sqrt(head_dim)) V for each identity
        /// that is active at the step; see <c>omniid_conditioning_factor</c>, <c>_mask_factors</c> and
        /// <c>_is_active</c>.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_keys(IntPtr conditioning, UIntPtr layer, UIntPtr identity, int
            role, long stream, NativeManagedTensor** @out);

        /// <summary>
        /// Hands out the values of one identity in one layer; see <c>omniid_conditioning_keys</c>.
        ///
        /// The caller's part:
        /// As <c>omniid_conditioning_keys</c>.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_values(IntPtr conditioning, UIntPtr layer, UIntPtr identity, int
            role, long stream, NativeManagedTensor** @out);

        /// <summary>
        /// Factor of one identity's attention output in one layer; 0 where nothing is injected.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_factor(IntPtr conditioning, UIntPtr layer, UIntPtr identity, float*
            @out);

        /// <summary>
        /// Writes 1 if one identity is injected at a step, else 0. <c>sigma</c> and <c>fraction</c> may be NULL where
        /// the identity's range does not need them.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>sigma</c> and <c>fraction</c> are NULL or point to a number;
        /// <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_is_active(IntPtr conditioning, UIntPtr identity, double* sigma,
            double* fraction, int* @out);

        /// <summary>
        /// Writes one identity's mask as one factor for each of a layer's <c>token_count</c> image tokens; 1 everywhere
        /// when it has no mask. The latent picture's height and width may both be 0 where the mask does not need them.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> has room for <c>token_count</c> numbers.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_mask_factors(IntPtr conditioning, UIntPtr identity, UIntPtr
            tokenCount, uint latentHeight, uint latentWidth, float* @out);

        /// <summary>
        /// Adds the identities' attention to a layer's output, in place:
        /// output += sum over identities of scale x mask x softmax(query Kt / sqrt(head_dim)) V.
        ///
        /// Softmax and sums are computed in f32. Layers without weight, identities outside their step range and rows
        /// without a counterpart leave the output bit for bit as it is; so does an error. After the first call with
        /// each shape nothing is allocated.
        ///
        /// On a GPU the attention runs on the call's stream, in order with the host's own work there, and the call does
        /// not wait for it; no memory of the device is allocated but for masks. The first call compiles the kernel,
        /// about a second. The query is not searched for values that are not finite. Make one call outside before a
        /// capture into a CUDA graph; the graph must not outlive the conditioning. The conditioning may be freed as
        /// soon as the call returns.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when shapes or number types of query, output and layer differ, with
        /// <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for a layer that does not exist or a query that is not finite (naming
        /// its row), with <c>OMNIID_STATUS_UNSUPPORTED</c> when the tensors are not where the keys and values are.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>call</c> is initialised with OMNIID_INJECT_CALL_INIT; query
        /// and output describe memory that is readable and, for output, writable, and that no other thread writes
        /// during the call.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_inject(IntPtr conditioning, NativeInjectCall* call);
    }
}
