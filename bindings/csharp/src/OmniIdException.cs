using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// A call of the library failed. The message says what failed, the value seen and what would be right.
    /// A call that was cancelled throws <see cref="OperationCanceledException"/> instead.
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

        /// <summary>Throws the exception of a status, unless it is <see cref="OmniID.Status.Ok"/>.</summary>
        /// <remarks>The message belongs to the calling thread: to be called right after the failed call.</remarks>
        internal static unsafe void Check(int status)
        {
            if (status == (int)Status.Ok)
                return;
            throw Of((Status)status, NativeText.Read(NativeMethods.omniid_last_error()));
        }

        private static unsafe Exception Of(Status status, string message)
        {
            if (string.IsNullOrEmpty(message))
                message = NativeText.Read(NativeMethods.omniid_status_text((int)status));
            switch (status)
            {
                case Status.InvalidArgument: return new InvalidValueException(message);
                case Status.Io: return new StorageException(message);
                case Status.Format: return new InvalidFormatException(message);
                case Status.Unsupported: return new UnsupportedException(message);
                case Status.Mismatch: return new MismatchException(message);
                case Status.NoFace: return new NoFaceException(message);
                case Status.LimitExceeded: return new LimitExceededException(message);
                case Status.Cancelled: return new OperationCanceledException(message);
                case Status.Device: return new DeviceException(message);
                default: return new OmniIdException(status, message);
            }
        }
    }

    /// <summary>A parameter has a value that is never valid: no photos, an absurd size, a layer that does not exist.</summary>
    public sealed class InvalidValueException : OmniIdException
    {
        internal InvalidValueException(string message) : base(Status.InvalidArgument, message) { }
    }

    /// <summary>The operating system refused: no such file, no permission, disk full.</summary>
    public sealed class StorageException : OmniIdException
    {
        internal StorageException(string message) : base(Status.Io, message) { }
    }

    /// <summary>A file or a buffer does not hold what its format promises.</summary>
    public sealed class InvalidFormatException : OmniIdException
    {
        internal InvalidFormatException(string message) : base(Status.Format, message) { }
    }

    /// <summary>Well-formed, but not something this build can do.</summary>
    public sealed class UnsupportedException : OmniIdException
    {
        internal UnsupportedException(string message) : base(Status.Unsupported, message) { }
    }

    /// <summary>Two things that do not belong together: identity and model, adapter and host, tensor and layer.</summary>
    public sealed class MismatchException : OmniIdException
    {
        internal MismatchException(string message) : base(Status.Mismatch, message) { }
    }

    /// <summary>No usable face in any of the photos.</summary>
    public sealed class NoFaceException : OmniIdException
    {
        internal NoFaceException(string message) : base(Status.NoFace, message) { }
    }

    /// <summary>A limit was reached: pixels, decoded bytes, file size.</summary>
    public sealed class LimitExceededException : OmniIdException
    {
        internal LimitExceededException(string message) : base(Status.LimitExceeded, message) { }
    }

    /// <summary>The GPU, its driver or its libraries failed.</summary>
    public sealed class DeviceException : OmniIdException
    {
        internal DeviceException(string message) : base(Status.Device, message) { }
    }
}
