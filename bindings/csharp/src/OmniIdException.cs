#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// A call of the library failed. The message says what failed, the value seen and what would be right. Each
    /// <see cref="OmniID.Status"/> has a class of its own, named after it. A call that was cancelled throws
    /// <see cref="OperationCanceledException"/> instead, as tasks expect.
    /// </summary>
    public class OmniIdException : Exception
    {
        /// <summary>Makes the exception for a status.</summary>
        public OmniIdException(Status status, string message) : base(message)
        {
            Status = status;
        }

        /// <summary>The class of the error. A newer library may have some that are not in the enum.</summary>
        public Status Status { get; }

        /// <summary>Throws the exception for a status, unless it is <see cref="OmniID.Status.Ok"/>.</summary>
        /// <remarks>The message belongs to the calling thread: call this right after the failed call.</remarks>
        internal static void Check(int status)
        {
            if (status != (int)Status.Ok)
                throw Of((Status)status, LastMessage(status));
        }

        /// <summary>What the library says about the calling thread's last failed call.</summary>
        internal static unsafe string LastMessage(int status)
        {
            string message = NativeText.Read(NativeMethods.omniid_last_error());
            return message.Length > 0 ? message : NativeText.Read(NativeMethods.omniid_status_text(status));
        }

        internal static Exception Of(Status status, string message)
        {
            switch (status)
            {
                case Status.InvalidArgument: return new OmniIdInvalidArgumentException(message);
                case Status.Io: return new OmniIdIoException(message);
                case Status.Format: return new OmniIdFormatException(message);
                case Status.Unsupported: return new OmniIdUnsupportedException(message);
                case Status.Mismatch: return new OmniIdMismatchException(message);
                case Status.NoFace: return new OmniIdNoFaceException(message);
                case Status.LimitExceeded: return new OmniIdLimitExceededException(message);
                case Status.Cancelled: return new OperationCanceledException(message);
                case Status.Device: return new OmniIdDeviceException(message);
                case Status.AbiMismatch: return new OmniIdAbiMismatchException(message);
                case Status.Internal: return new OmniIdInternalException(message);
                default: return new OmniIdException(status, message);
            }
        }
    }

    /// <summary>
    /// A parameter has a value that is never valid: no photos, an absurd size, a layer that does not exist.
    /// </summary>
    public sealed class OmniIdInvalidArgumentException : OmniIdException
    {
        internal OmniIdInvalidArgumentException(string message) : base(Status.InvalidArgument, message) { }
    }

    /// <summary>The operating system refused: no such file, no permission, disk full.</summary>
    public sealed class OmniIdIoException : OmniIdException
    {
        internal OmniIdIoException(string message) : base(Status.Io, message) { }
    }

    /// <summary>A file or a buffer does not hold what its format promises.</summary>
    public sealed class OmniIdFormatException : OmniIdException
    {
        internal OmniIdFormatException(string message) : base(Status.Format, message) { }
    }

    /// <summary>Well-formed, but not something this build can do.</summary>
    public sealed class OmniIdUnsupportedException : OmniIdException
    {
        internal OmniIdUnsupportedException(string message) : base(Status.Unsupported, message) { }
    }

    /// <summary>
    /// Two things that do not belong together: identity and model, adapter and host, tensor and layer.
    /// </summary>
    public sealed class OmniIdMismatchException : OmniIdException
    {
        internal OmniIdMismatchException(string message) : base(Status.Mismatch, message) { }
    }

    /// <summary>No usable face in any of the photos.</summary>
    public sealed class OmniIdNoFaceException : OmniIdException
    {
        internal OmniIdNoFaceException(string message) : base(Status.NoFace, message) { }
    }

    /// <summary>A limit set by the caller was reached: pixels, decoded bytes, file size.</summary>
    public sealed class OmniIdLimitExceededException : OmniIdException
    {
        internal OmniIdLimitExceededException(string message) : base(Status.LimitExceeded, message) { }
    }

    /// <summary>The GPU, its driver or its libraries failed.</summary>
    public sealed class OmniIdDeviceException : OmniIdException
    {
        internal OmniIdDeviceException(string message) : base(Status.Device, message) { }
    }

    /// <summary>The native library has another ABI than this assembly needs.</summary>
    public sealed class OmniIdAbiMismatchException : OmniIdException
    {
        internal OmniIdAbiMismatchException(string message) : base(Status.AbiMismatch, message) { }
    }

    /// <summary>A defect in OmniID itself. Please report it with the message.</summary>
    public sealed class OmniIdInternalException : OmniIdException
    {
        internal OmniIdInternalException(string message) : base(Status.Internal, message) { }
    }
}
