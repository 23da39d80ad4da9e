//! Methods that set one field of an options struct.

/// Writes `with_…` methods. `plain` takes the field's type, `into` what converts to it, `option` the value of an
/// optional field or the option itself, `some` what converts to the value of an optional field.
macro_rules! setters {
    ($owner:ident $(<$life:lifetime>)? { $($method:ident: $field:ident = $how:ident $kind:ty),* $(,)? }) => {
        impl $(<$life>)? $owner $(<$life>)? {
            $(setters!(@ $method $field $how $kind);)*
        }
    };
    (@ $method:ident $field:ident plain $kind:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(mut self, $field: $kind) -> Self {
            self.$field = $field;
            self
        }
    };
    (@ $method:ident $field:ident into $kind:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(mut self, $field: impl Into<$kind>) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@ $method:ident $field:ident option $kind:ty) => {
        setters!(@ $method $field into Option<$kind>);
    };
    (@ $method:ident $field:ident some $kind:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(mut self, $field: impl Into<$kind>) -> Self {
            self.$field = Some($field.into());
            self
        }
    };
}
pub(crate) use setters;
