#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    public sealed unsafe partial class Engine
    {
        /// <summary>
        /// The raw embedding of the face in a photo, by the engine's face recogniser: of the largest face, unless the
        /// photo says which.
        /// </summary>
        /// <exception cref="OmniIdUnsupportedException">The engine has no face recogniser.</exception>
        /// <exception cref="OmniIdNoFaceException">The photo shows no face.</exception>
        public FaceEmbedding FaceEmbedding(Photo photo)
        {
            float[] values = FaceVector(photo, NativeMethods.omniid_face_embedding);
            return new FaceEmbedding(values, Info.FaceRecogniser ?? "");
        }

        /// <summary>
        /// A vector of the face in a photo by its histograms of oriented gradients, of length 1: the dot product of two
        /// says whether two photos show one person. Of several faces the largest counts, unless the photo says which.
        /// </summary>
        /// <exception cref="OmniIdUnsupportedException">The checkpoint has no directions for it.</exception>
        /// <exception cref="OmniIdNoFaceException">The photo shows no face.</exception>
        public float[] HistogramVector(Photo photo)
        {
            return FaceVector(photo, NativeMethods.omniid_histogram_vector);
        }

        private delegate int FaceCall(IntPtr engine, NativePhoto* photo, NativeManagedTensor** tensor);

        /// <summary>What a function of the library hands out of the face in a photo.</summary>
        private float[] FaceVector(Photo photo, FaceCall call)
        {
            if (photo == null)
                throw new ArgumentNullException(nameof(photo));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                NativePhoto native = photo.ToNative(pins);
                NativeManagedTensor* tensor;
                OmniIdException.Check(call(engine, &native, &tensor));
                using (var values = new OwnedTensor(tensor))
                    return values.AsSpan().ToArray();
            }
        }

        /// <summary>
        /// How like the face in a picture is to a person: a measure for what a host has generated. Any model will do;
        /// the engine needs a face recogniser, and the identity must have been made with it, or of embeddings of its
        /// network. Of several faces the one counts that is most like, unless the photo says which.
        /// </summary>
        /// <exception cref="OmniIdUnsupportedException">
        /// The engine has no face recogniser, or the identity no face embeddings.
        /// </exception>
        /// <exception cref="OmniIdNoFaceException">The picture shows no face.</exception>
        public Likeness Likeness(Identity identity, Photo photo)
        {
            if (identity == null)
                throw new ArgumentNullException(nameof(identity));
            if (photo == null)
                throw new ArgumentNullException(nameof(photo));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                IntPtr compared = pins.Handle(identity.Handle, nameof(Identity));
                NativePhoto nativePhoto = photo.ToNative(pins);
                NativeLikeness native = NativeLikeness.Create();
                OmniIdException.Check(NativeMethods.omniid_likeness_of(engine, compared, &nativePhoto, &native));
                return new Likeness(native);
            }
        }

        /// <summary>
        /// The tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in place of a
        /// text: f32 <c>[2, tokens, token width]</c>; first the unconditional side, then the identity.
        /// </summary>
        /// <exception cref="OmniIdMismatchException">Another model made the identity.</exception>
        public OwnedTensor ContextTokens(Identity identity)
        {
            if (identity == null)
                throw new ArgumentNullException(nameof(identity));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                IntPtr read = pins.Handle(identity.Handle, nameof(Identity));
                NativeManagedTensor* tensor;
                OmniIdException.Check(NativeMethods.omniid_identity_context_tokens(engine, read, &tensor));
                return new OwnedTensor(tensor);
            }
        }

        /// <summary>
        /// Writes the LoRA that the checkpoint holds as a safetensors file, which the host applies at strength 1:
        /// IP-Adapter FaceID, Plus and PlusV2 were trained with it. See <see cref="EngineInfo.HasLora"/>.
        /// </summary>
        /// <exception cref="OmniIdUnsupportedException">The checkpoint holds none.</exception>
        public void SaveLora(string path, LoraFormat format = LoraFormat.Kohya)
        {
            if (path == null)
                throw new ArgumentNullException(nameof(path));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                OmniIdException.Check(NativeMethods.omniid_engine_save_lora(
                    engine, pins.Text(path, nameof(path)), (int)format));
            }
        }
    }
}
