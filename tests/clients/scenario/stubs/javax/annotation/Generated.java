package javax.annotation;

/** The only class that the generated client needs and the generator's jar does not contain. */
public @interface Generated {
  String[] value();

  String comments() default "";
}
