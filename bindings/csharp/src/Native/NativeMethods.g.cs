// Generated from include/omniid.h by bindings/csharp/generate.py. Do not edit.
#nullable enable
using System;
using System.Runtime.InteropServices;

namespace OmniID.Native
{
    /// <summary>
    /// Receives log messages, on the threads on which they arise, possibly several at once.
    ///
    /// <c>target</c> names the part of the library. Both strings are UTF-8 and valid during the call only. The callback
    /// must not unwind. Messages that arise inside it are dropped.
    /// </summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal unsafe delegate void LogFn(void* userData, int level, byte* target, byte* message);

    /// <summary>
    /// Is told that <c>done</c> of <c>total</c> units of a stage, <c>OMNIID_STAGE_...</c>, are finished.
    ///
    /// Called on the thread of the long call, with the <c>user_data</c> given beside it. Return 0 to continue; any
    /// other value cancels the call, which then fails with <c>OMNIID_STATUS_CANCELLED</c>. Must not unwind: no
    /// exceptions, no longjmp.
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
        /// A program that loads the library at run time should compare its upper half with <c>OMNIID_ABI_MAJOR</c>.
        /// <c>omniid_engine_open</c> does so by itself.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern uint omniid_abi_version();

        /// <summary>The release of the loaded library, such as <c>0.2.0</c>. The string is static.</summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern byte* omniid_version();

        /// <summary>A short English description of a status. Static; never NULL, even for unknown numbers.</summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern byte* omniid_status_text(int status);

        /// <summary>
        /// The message of the calling thread's last failed call; empty if none has failed yet. Never NULL.
        ///
        /// It belongs to the library and stays valid until the thread's next call fails or the thread ends. Successful
        /// calls leave it as it is. A host that moves work between threads must read it on the thread that made the
        /// call.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern byte* omniid_last_error();

        /// <summary>
        /// Installs the process's log callback, or removes it when <c>callback</c> is NULL.
        ///
        /// <c>max_level</c> is the most detailed level wanted, <c>OMNIID_LOG_LEVEL_ERROR</c> to
        /// <c>OMNIID_LOG_LEVEL_TRACE</c>; it is ignored on removal. Returns after all calls of the previous callback
        /// have ended, so that its <c>user_data</c> may be freed.
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
        /// Frees a tensor that a call has handed out, through its deleter; NULL is ignored.
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
        /// <c>OMNIID_STATUS_MISMATCH</c> when image encoder, face recogniser, checkpoint and host do not belong
        /// together (a face recogniser of another network than the model's is named, with the one that fits), and with
        /// <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for options that the checkpoint has no use for. A missing face
        /// recogniser is no error: photos can bring embeddings.
        ///
        /// The caller's part:
        /// <c>options</c> is initialised with OMNIID_ENGINE_OPTIONS_INIT and its pointers are NULL or valid; <c>out</c>
        /// is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_engine_open(NativeEngineOptions* options, IntPtr* @out);

        /// <summary>
        /// Frees an engine; NULL is ignored. What was made with it stays valid.
        ///
        /// The caller's part:
        /// <c>engine</c> is NULL or came from <c>omniid_engine_open</c>, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_engine_free(IntPtr engine);

        /// <summary>
        /// Describes an engine.
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
        /// <c>OMNIID_PRECISION_F16</c>. An existing file is replaced when the new one is complete.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>path</c> is NUL-terminated.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_save(IntPtr identity, byte* path, int precision);

        /// <summary>
        /// Writes an identity to memory: the bytes that <c>omniid_identity_save</c> writes to the file.
        ///
        /// <c>size</c> receives the number of bytes, also when <c>buffer</c> is NULL and nothing is written. When
        /// <c>capacity</c> is smaller, the call fails with <c>OMNIID_STATUS_INVALID_ARGUMENT</c>, and <c>size</c> still
        /// says how many are needed.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>buffer</c> is NULL or has room for <c>capacity</c> bytes; <c>size</c>
        /// is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_to_bytes(IntPtr identity, int precision, void* buffer, UIntPtr
            capacity, UIntPtr* size);

        /// <summary>
        /// Describes an identity.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is initialised with OMNIID_IDENTITY_INFO_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_describe(IntPtr identity, NativeIdentityInfo* @out);

        /// <summary>
        /// Hands out the tokens, f32 <c>[tokens, token_width]</c>, read-only and without a copy. They stay valid after
        /// the identity is freed. Free them with <c>omniid_managed_tensor_free</c> or their deleter.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_tokens(IntPtr identity, NativeManagedTensor** @out);

        /// <summary>
        /// Copies the tokens into a tensor of the host: <c>[tokens, token_width]</c> on the CPU; f32, f16 or bf16; any
        /// strides.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> describes writable memory.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_copy_tokens(IntPtr identity, NativeTensor* @out);

        /// <summary>
        /// Makes a copy of an identity with another label and consent note; NULL keeps the present one.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; the texts are NULL or NUL-terminated; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_with_notes(IntPtr identity, byte* label, byte* consent, IntPtr* @out);

        /// <summary>
        /// Makes a copy of an identity without the photos' features and face embeddings: smaller, but an identity of a
        /// model that reads all photos at once can no longer be extended, and none compared by a face recogniser.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_without_features(IntPtr identity, IntPtr* @out);

        /// <summary>
        /// Compares two identities of the engine's model: cosine similarity, -1 to 1, after subtracting the model's
        /// mean identity and projecting onto the directions that distinguish people, where the checkpoint has them.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made either identity.
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
        /// Frees an identity; NULL is ignored.
        ///
        /// The caller's part:
        /// <c>identity</c> is NULL or came from this library, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_identity_free(IntPtr identity);

        /// <summary>
        /// Makes an identity from one or more photos of the same person. <c>options</c> may be NULL.
        ///
        /// A photo that cannot be used is left out and reported, unless the options say otherwise. Fails with
        /// <c>OMNIID_STATUS_NO_FACE</c> when no photo shows a face, and with the first photo's own error when none can
        /// be used for other reasons. A photo that brings its embedding is such a reason too:
        /// <c>OMNIID_STATUS_MISMATCH</c> for one of another network or another length than the model's, and for a
        /// normalised one where the model needs the raw one.
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
        /// Makes a new identity from an identity and more photos: equal to encoding all photos at once, at the cost of
        /// the new ones. <c>options</c> may be NULL.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made the identity, and with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> when an Omni-ID identity does not hold its photos' features.
        ///
        /// The caller's part:
        /// As <c>omniid_encode</c>; <c>identity</c> is a live identity.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_extend(IntPtr engine, IntPtr identity, NativePhoto* photos, UIntPtr
            photoCount, NativeEncodeOptions* options, IntPtr* @out);

        /// <summary>
        /// Runs the image encoder on photos, without the identity encoder, and hands out their features, f32
        /// <c>[photos, feature tokens, feature width]</c>, read-only, of the photos that could be used. <c>options</c>
        /// may be NULL.
        ///
        /// Features are the hidden states before the last layer, the class token first; for models that take an image
        /// embedding, that as one token. <c>omniid_identity_from_features</c> makes an identity of them: the two
        /// together are <c>omniid_encode</c>, whose failures this call has. Free the tensor with
        /// <c>omniid_managed_tensor_free</c> or its deleter; it stays valid after the engine is freed. Fails with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> for models that read no image encoder.
        ///
        /// The caller's part:
        /// As <c>omniid_encode</c>.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_photo_features(IntPtr engine, NativePhoto* photos, UIntPtr photoCount,
            NativeEncodeOptions* options, NativeManagedTensor** @out);

        /// <summary>
        /// Makes an identity of the features of one or more photos of the same person: <c>[photos, feature tokens,
        /// feature width]</c> on the CPU, as <c>omniid_photo_features</c> gives them; f32, f16 or bf16; any strides.
        /// Copied.
        ///
        /// The host may have run the same image encoder itself, or combined features: their mean is one photo that lies
        /// between them. Of <c>options</c>, which may be NULL, <c>label</c>, <c>consent</c> and <c>drop_features</c>
        /// count; the others are refused, and the report is empty.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> for another shape than the model's, with
        /// <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for zero photos and values that are not finite, and with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> for models that read face embeddings.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>features</c> describes readable memory; <c>options</c> is NULL or
        /// initialised with OMNIID_ENCODE_OPTIONS_INIT; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_from_features(IntPtr engine, NativeTensor* features,
            NativeEncodeOptions* options, IntPtr* @out);

        /// <summary>
        /// Number of entries in a report: one for each photo of the call, in the same order.
        ///
        /// The caller's part:
        /// <c>report</c> is a live report; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_report_photo_count(IntPtr report, UIntPtr* @out);

        /// <summary>
        /// Describes what became of photo <c>index</c>.
        ///
        /// The caller's part:
        /// <c>report</c> is a live report; <c>out</c> is initialised with OMNIID_PHOTO_REPORT_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_report_photo(IntPtr report, UIntPtr index, NativePhotoReport* @out);

        /// <summary>
        /// Frees a report; NULL is ignored.
        ///
        /// The caller's part:
        /// <c>report</c> is NULL or came from this library, and no call uses it any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_report_free(IntPtr report);

        /// <summary>
        /// Projects one or more identities to the keys and values of every layer of the engine's host. Each identity
        /// has a softmax of its own; their contributions are added. <c>options</c> may be NULL.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made an identity or the adapter is for another
        /// host, and with <c>OMNIID_STATUS_UNSUPPORTED</c> when the checkpoint has no adapter, the host is not known,
        /// or the weight type or the unconditional variant does not exist for it.
        /// <c>OMNIID_STATUS_INVALID_ARGUMENT</c>: no identities, a number that is not finite or out of range, an option
        /// of another kind of adapter, or no timesteps for an adapter that depends on them.
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
        /// Frees a conditioning; NULL is ignored.
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
        /// Number of bytes that all keys and values occupy.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_byte_size(IntPtr conditioning, UIntPtr* @out);

        /// <summary>
        /// How identities' attention joins the layer's output, OMNIID_INJECTION_... A host that runs its own attention
        /// can only add, unless it follows PuLID's formulas.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_injection(IntPtr conditioning, int* @out);

        /// <summary>
        /// Number of further tokens with zero keys and values in each softmax (PuLID), which are not part of
        /// <c>omniid_conditioning_keys</c> and <c>omniid_conditioning_values</c>.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_zero_tokens(IntPtr conditioning, UIntPtr* @out);

        /// <summary>
        /// Writes 1 if the image's own keys and values take part in each softmax (SD3.5; see <c>image_keys</c> of
        /// <c>omniid_inject_call</c>), otherwise 0.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_needs_image_keys(IntPtr conditioning, int* @out);

        /// <summary>
        /// Name of a layer. Lives as long as the conditioning.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_layer_name(IntPtr conditioning, UIntPtr layer, byte** @out);

        /// <summary>
        /// Describes a layer. Its name lives as long as the conditioning.
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
        /// Hands out the keys of one identity in one layer, <c>[tokens, heads, head_dim]</c>, read-only and without a
        /// copy; NULL, with <c>OMNIID_STATUS_OK</c>, where nothing is injected. They stay valid after the conditioning
        /// is freed.
        ///
        /// <c>stream</c> is ignored on the CPU. On a GPU it is a CUDA stream in the numbering of
        /// <c>omniid_inject_call</c>, on which the keys may be read. Their deleter may run while queued work still
        /// reads them, but not while a stream of the device is being captured into a CUDA graph.
        ///
        /// A host that runs its own attention adds factor x mask x softmax(q Kt / sqrt(head_dim)) V for each identity
        /// that is active at the step; see <c>omniid_conditioning_factor</c>, <c>_mask_factors</c> and
        /// <c>_is_active</c>. It heeds <c>omniid_conditioning_injection</c>, <c>_zero_tokens</c> and
        /// <c>_needs_image_keys</c>. Of an adapter with two token sets (WithAnyone) these are the first's.
        ///
        /// Fails with <c>OMNIID_STATUS_INVALID_ARGUMENT</c> when there is no such layer or identity, and with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> when the conditioning holds keys and values for several timesteps.
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
        /// Factor of one identity's attention in one layer; 0 where nothing is injected.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_factor(IntPtr conditioning, UIntPtr layer, UIntPtr identity, float*
            @out);

        /// <summary>
        /// Writes 1 if an identity is injected at a step, otherwise 0. <c>sigma</c> and <c>fraction</c> may be NULL
        /// where the identity's range does not need them.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>sigma</c> and <c>fraction</c> are NULL or point to a number;
        /// <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_conditioning_is_active(IntPtr conditioning, UIntPtr identity, double* sigma,
            double* fraction, int* @out);

        /// <summary>
        /// Writes an identity's mask as one factor for each of a layer's <c>token_count</c> image tokens; 1 everywhere
        /// if it has no mask. Height and width of the latent image may both be 0 where the mask does not need them.
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
        /// Softmax and sums are computed in f32. Layers without weight, identities outside their step range, rows to
        /// which nothing is injected, and errors leave the output as it is, bit for bit. After the first call with each
        /// shape nothing is allocated.
        ///
        /// On a GPU the attention runs on the call's stream, in order with the host's own work there; the call does not
        /// wait for it. Device memory is allocated for masks only. The first call compiles the kernel, which takes
        /// about a second. The query is not searched for values that are not finite. Before a capture into a CUDA
        /// graph, make one call outside of it; the graph must not outlive the conditioning. Otherwise the conditioning
        /// may be freed as soon as the call returns.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when shapes or number types of query, output and layer differ and
        /// for an adapter of the residual stream (omniid_inject_residual), with <c>OMNIID_STATUS_INVALID_ARGUMENT</c>
        /// for a layer that does not exist, a query that is not finite (naming layer and row), a sigma that an SD3.5
        /// conditioning has no timestep for, and image keys or values that are missing there or given elsewhere, and
        /// with <c>OMNIID_STATUS_UNSUPPORTED</c> when the tensors are not where the keys and values are.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>call</c> is initialised with OMNIID_INJECT_CALL_INIT; query
        /// and output describe memory that is readable and, for output, writable, and that no other thread writes
        /// during the call, except other parts of the same call.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_inject(IntPtr conditioning, NativeInjectCall* call);

        /// <summary>
        /// Adds the identities to the image's hidden state between two blocks of a transformer, in place:
        /// output += sum over identities of scale x mask x to_out(softmax(q Kt / sqrt(head_dim)) V), q =
        /// to_q(norm(hidden)).
        ///
        /// For adapters that add to the residual stream, PuLID-FLUX and WithAnyone: those whose layers have a
        /// <c>hidden</c> width (omniid_conditioning_layer). Normalisation and projections run inside. PuLID: after the
        /// double blocks 0, 2, ..., 18 and the single blocks 0, 4, ..., 36; WithAnyone: after every block.
        ///
        /// Sums are computed in f32 and added once. What is read is read before it is written. Layers without weight,
        /// identities outside their step range, rows to which nothing is injected, and errors leave the output as it
        /// is, bit for bit. After the first calls with each shape nothing is allocated. On a GPU the hidden state is
        /// copied and the work runs on the engine's stream, in order with the call's stream.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when widths or number types differ and for an adapter inside the
        /// attention (omniid_inject), with <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for a layer that does not exist or a
        /// hidden state that is not finite (naming its row), and with <c>OMNIID_STATUS_UNSUPPORTED</c> when the tensors
        /// are not where the keys and values are.
        ///
        /// The caller's part:
        /// <c>conditioning</c> is a live conditioning; <c>call</c> is initialised with OMNIID_RESIDUAL_CALL_INIT;
        /// hidden and output describe memory that is readable and, for output, writable, and that no other thread
        /// writes during the call.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_inject_residual(IntPtr conditioning, NativeResidualCall* call);

        /// <summary>
        /// Describes the face embedding of photo <c>photo</c> of an identity, counted from 0 over the photos that went
        /// into it. Nothing is copied: the values live as long as the identity. <c>values</c> is NULL when nothing is
        /// known of that photo's face, or features were not kept.
        ///
        /// Fails with <c>OMNIID_STATUS_INVALID_ARGUMENT</c> when there is no such photo.
        ///
        /// The caller's part:
        /// <c>identity</c> is a live identity; <c>out</c> is initialised with OMNIID_EMBEDDING_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_embedding(IntPtr identity, UIntPtr photo, NativeEmbedding* @out);

        /// <summary>
        /// Says how like the face in a picture is to a person: a measure for what a host has generated. Any model will
        /// do; the engine needs a face recogniser, and the identity must have been made with it, or of embeddings of
        /// its network.
        ///
        /// Without a face hint the face counts that is most like the identity, of the eight largest. A photo that
        /// brings its embedding is not looked at. Fails with <c>OMNIID_STATUS_UNSUPPORTED</c> for an engine without a
        /// face recogniser and an identity without face embeddings, with <c>OMNIID_STATUS_MISMATCH</c> when another
        /// network made those, and with <c>OMNIID_STATUS_NO_FACE</c> for a picture without a face.
        ///
        /// The caller's part:
        /// <c>engine</c> and <c>identity</c> are live; <c>photo</c> is initialised with OMNIID_PHOTO_INIT and
        /// <c>out</c> with OMNIID_LIKENESS_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_likeness_of(IntPtr engine, IntPtr identity, NativePhoto* photo, NativeLikeness*
            @out);

        /// <summary>
        /// Hands out the raw embedding of the face in a photo, f32 <c>[dimension]</c> on the CPU, read-only: of the
        /// largest, unless the photo says which. Free it with <c>omniid_managed_tensor_free</c> or its deleter; it
        /// stays valid after the engine is freed.
        ///
        /// Fails with <c>OMNIID_STATUS_UNSUPPORTED</c> for an engine without a face recogniser and with
        /// <c>OMNIID_STATUS_NO_FACE</c> for a picture without a face.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>photo</c> is initialised with OMNIID_PHOTO_INIT; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_face_embedding(IntPtr engine, NativePhoto* photo, NativeManagedTensor** @out);

        /// <summary>
        /// Hands out a vector of the face in a photo for the plain question whether two photos show one person: f32
        /// <c>[length]</c> on the CPU, read-only, of length 1, made of histograms of oriented gradients in the
        /// directions of the engine's checkpoint. The dot product of two such vectors says how alike two faces are, -1
        /// to 1, about 0 for strangers. Of several faces the largest counts, unless the photo says which. Vectors of
        /// one checkpoint belong together. Free it with <c>omniid_managed_tensor_free</c> or its deleter; it stays
        /// valid after the engine is freed.
        ///
        /// Fails with <c>OMNIID_STATUS_UNSUPPORTED</c> for a checkpoint without such directions and with
        /// <c>OMNIID_STATUS_NO_FACE</c> for a picture without a face.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>photo</c> is initialised with OMNIID_PHOTO_INIT; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_histogram_vector(IntPtr engine, NativePhoto* photo, NativeManagedTensor** @out);

        /// <summary>
        /// Hands out the tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in
        /// place of a text: f32 <c>[2, tokens, token_width]</c>, read-only; first the unconditional side, then the
        /// identity. Free it with <c>omniid_managed_tensor_free</c> or its deleter; it stays valid after engine and
        /// identity are freed.
        ///
        /// The unconditional side is the model's own, as for OMNIID_UNCONDITIONAL_DEFAULT, repeated up to the length of
        /// the identity's, which attention does not notice.
        ///
        /// Fails with <c>OMNIID_STATUS_MISMATCH</c> when another model made the identity, and with
        /// <c>OMNIID_STATUS_UNSUPPORTED</c> for models whose unconditional side is not of the identity's shape.
        ///
        /// The caller's part:
        /// <c>engine</c> and <c>identity</c> are live; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_identity_context_tokens(IntPtr engine, IntPtr identity, NativeManagedTensor**
            @out);

        /// <summary>
        /// Draws the control picture of InstantID, five keypoints of a face on black, into <c>pixels</c>: red, green,
        /// blue, <c>width</c> × <c>height</c>, rows from top to bottom, <c>row_stride</c> bytes apart; 0 for rows
        /// without gaps. Equal to what InstantID draws with OpenCV.
        ///
        /// <c>landmarks</c> are the ten numbers of omniid_face, in pixels of the picture that is drawn: scale those of
        /// a photo to the size that is generated.
        ///
        /// Fails with <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for a side of 0 or a picture of more than 2^28 pixels, a
        /// <c>row_stride</c> that is less than a row or larger than memory, and landmarks that are not finite or far
        /// outside; the pixels are then untouched.
        ///
        /// The caller's part:
        /// <c>landmarks</c> points to 10 numbers; <c>pixels</c> has room for <c>height</c> rows.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_draw_keypoints(float* landmarks, uint width, uint height, UIntPtr rowStride,
            byte* pixels);

        /// <summary>
        /// Writes the LoRA that the engine's checkpoint holds as a safetensors file for the host, in
        /// OMNIID_LORA_FORMAT_... An existing file is replaced when the new one is complete.
        ///
        /// IP-Adapter FaceID, Plus and PlusV2 were trained with a LoRA: without it, applied at strength 1, they are not
        /// the trained models. Fails with <c>OMNIID_STATUS_UNSUPPORTED</c> when the checkpoint holds none, and with
        /// <c>OMNIID_STATUS_IO</c> when it cannot be written.
        ///
        /// The caller's part:
        /// <c>engine</c> is a live engine; <c>path</c> is NUL-terminated.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_engine_save_lora(IntPtr engine, byte* path, int format);

        /// <summary>
        /// Reads the manifest of a graph. <c>path</c> is the manifest's, or that of the graph beside which it lies as
        /// <c>unet.onnx.identity.json</c> or <c>unet.identity.json</c>.
        ///
        /// Fails with <c>OMNIID_STATUS_IO</c> when it cannot be read, with <c>OMNIID_STATUS_FORMAT</c> when it is no
        /// manifest, and with <c>OMNIID_STATUS_UNSUPPORTED</c> when it is one of another version.
        ///
        /// The caller's part:
        /// <c>path</c> is NUL-terminated; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_open(byte* path, IntPtr* @out);

        /// <summary>
        /// Reads a manifest from memory: <c>size</c> bytes of JSON in UTF-8, copied. For hosts that keep files in
        /// archives of their own.
        ///
        /// The caller's part:
        /// <c>data</c> points to <c>size</c> readable bytes; <c>out</c> is writable.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_parse(void* data, UIntPtr size, IntPtr* @out);

        /// <summary>
        /// Frees a graph; NULL is ignored.
        ///
        /// The caller's part:
        /// <c>graph</c> is NULL or came from <c>omniid_graph_open</c> or <c>omniid_graph_parse</c>, and no call uses it
        /// any more.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern void omniid_graph_free(IntPtr graph);

        /// <summary>
        /// Describes a graph. The texts live as long as it.
        ///
        /// The caller's part:
        /// <c>graph</c> is a live graph; <c>out</c> is initialised with OMNIID_GRAPH_INFO_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_describe(IntPtr graph, NativeGraphInfo* @out);

        /// <summary>
        /// Describes layer <c>layer</c> of a graph, in the order of its scales. The names live as long as the graph.
        ///
        /// The caller's part:
        /// <c>graph</c> is a live graph; <c>out</c> is initialised with OMNIID_GRAPH_LAYER_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_describe_layer(IntPtr graph, UIntPtr layer, NativeGraphLayer* @out);

        /// <summary>
        /// Describes identity input <c>input</c> of a graph. Its name lives as long as the graph.
        ///
        /// The caller's part:
        /// <c>graph</c> is a live graph; <c>out</c> is initialised with OMNIID_GRAPH_INPUT_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_describe_input(IntPtr graph, UIntPtr input, NativeGraphInput* @out);

        /// <summary>
        /// Gives the shape of identity input <c>input</c> for a call: rows as many as the call has roles, tokens as
        /// many as the identity has, or the number that the graph was made for. <c>call</c> may be NULL. Fails as
        /// <c>omniid_graph_fill</c>.
        ///
        /// The caller's part:
        /// <c>graph</c> is a live graph; <c>conditioning</c> is a live conditioning; <c>call</c> is NULL or initialised
        /// with OMNIID_GRAPH_CALL_INIT; <c>out</c> is initialised with OMNIID_GRAPH_SHAPE_INIT.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_input_shape(IntPtr graph, IntPtr conditioning, NativeGraphCall* call,
            UIntPtr input, NativeGraphShape* @out);

        /// <summary>
        /// Fills the host's buffers for identity inputs of a graph, in its order of layers, its layout and its number
        /// type: all of them or some, in any order, each named after its input. <c>call</c> may be NULL.
        ///
        /// Keys, values and tokens serve for all steps of sampling, and only scales and masks have to be filled for
        /// each step, unless people are concatenated and have step ranges, the graph has no input of scales, or keys
        /// and values depend on the timestep (SD3.5).
        ///
        /// Zeros are written where nothing is injected. The shorter side of guidance, and an identity with fewer tokens
        /// than the graph was made for, is repeated as a whole, which does not change the attention to it. In a graph
        /// with masks people stand one after the other, and each has a softmax and a mask.
        ///
        /// Everything is checked before anything is written. Fails with <c>OMNIID_STATUS_MISMATCH</c>, naming the layer
        /// and both shapes, when graph and conditioning are for different hosts or differ in layers, heads or head
        /// width, for a buffer of another shape, number type or size, for an identity that does not fit into the tokens
        /// that the graph was made for, and for another number of roles than the graph has rows; with
        /// <c>OMNIID_STATUS_INVALID_ARGUMENT</c> for an input that does not exist or is named twice, for buffers that
        /// overlap, and for a missing step position; with <c>OMNIID_STATUS_UNSUPPORTED</c> for conditionings that do
        /// more in a layer than the graph (orthogonal injection, adapters of the residual stream), for masks without an
        /// input for them or in ComfyUI's mode, for several people in a graph without masks unless they are to be
        /// concatenated, and for numbers that its number type cannot hold.
        ///
        /// The caller's part:
        /// <c>graph</c> is a live graph; <c>conditioning</c> is a live conditioning; <c>call</c> is NULL or initialised
        /// with OMNIID_GRAPH_CALL_INIT; <c>buffers</c> points to <c>buffer_count</c> structs initialised with
        /// OMNIID_GRAPH_BUFFER_INIT, whose memory is writable and used by no other thread during the call.
        /// </summary>
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
        public static extern int omniid_graph_fill(IntPtr graph, IntPtr conditioning, NativeGraphCall* call,
            NativeGraphBuffer* buffers, UIntPtr bufferCount);
    }
}
